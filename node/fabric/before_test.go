package fabric

import (
	"errors"
	"slices"
	"testing"

	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

// What was saved before a move that comes to nothing counts again, is kept meanwhile where it is, and has the cell
// go on when its node dies.
func TestASavedCheckpointOutlivesAMoveThatComesToNothing(t *testing.T) {
	for name, end := range map[string]func(*move){
		"it is aborted": func(m *move) {
			_, err := m.n1.AbortMove(soon(m.t), web, m.epoch)
			must(m.t, err)
		},
		"the target cannot run it": func(m *move) {
			m.activate()
			_, err := m.n2.Yield(soon(m.t), web, m.epoch+1)
			must(m.t, err)
			p, err := m.n1.Decided(soon(m.t), web, m.epoch+1)
			must(m.t, err)
			m.is(p, "n1", m.epoch+2)
			if p.Checkpoint != "c1" {
				m.t.Errorf("until the source goes on %q counts", p.Checkpoint)
			}
			for range 2 {
				must(m.t, m.n1.Resume(soon(m.t), web, m.epoch+2, "c1"))
			}
			if err := m.n2.Resume(soon(m.t), web, m.epoch+2, "c0"); !errors.Is(err, policystore.ErrConflict) {
				m.t.Errorf("another node goes on with it: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMove(t)
			n3 := m.nodes["n3"]
			must(t, m.n1.Save(soon(t), web, m.epoch, "c0", []string{"n1", "n3"}))
			m.begin()
			m.freeze()
			if p := m.agreed(); !p.Needs("n3", "c0") || !p.Needs("n1", "c0") || !p.Needs("n2", "c1") || p.Needs("n2", "c0") {
				t.Errorf("frozen, it is %+v", p)
			}
			if err := n3.DropCopy(soon(t), web, m.epoch, "c0"); !errors.Is(err, cell.Busy) {
				t.Errorf("what may count again is dropped: %v", err)
			}
			end(m)
			if p := m.agreed(); p.Checkpoint != "c0" || !slices.Equal(p.Copies, []string{"n1", "n3"}) || p.Before != "" || p.Node != "n1" {
				t.Errorf("it is %+v", p)
			}
			m.let()
			m.lives(true)
			m.n1.Leave()
			must(t, m.n1.cluster.Lease().Release(soon(t)))
			if p := m.inherits(n3); p.Checkpoint != "c0" || p.Phase != server.Active {
				t.Errorf("its heir has %+v", p)
			}
		})
	}
}

package fabric

import (
	"reflect"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
)

// A client whose node died before it was answered asks again, by the same request: the cell is started
// elsewhere, and not said to be on a node that is no more.
func TestTheSameRequestOutlivesItsNode(t *testing.T) {
	w := newWorld(t, 3)
	gone, other := w.nodes["n3"], w.nodes["n1"]
	first, err := gone.Claim(soon(t), web, "r1", "", 0)
	must(t, err)
	gone.Leave()
	must(t, gone.cluster.Lease().Release(soon(t)))
	other.fresh(t)
	again, err := other.Claim(soon(t), web, "r1", "", 0)
	if err != nil || again.Node != other.name || again.Epoch <= first.Epoch {
		t.Fatalf("again it is %+v, %v, after %+v", again, err, first)
	}
	if same, err := w.nodes["n2"].Claim(soon(t), web, "r1", "", 0); err != nil || !reflect.DeepEqual(same, again) {
		t.Errorf("once more it is %+v, %v", same, err)
	}
}

// What a node had in a session that is over it has not by asking again.
func TestTheSameRequestOutlivesItsSession(t *testing.T) {
	w := newWorld(t, 1)
	n := w.nodes["n1"]
	first, err := n.Claim(soon(t), actors.Address{Tenant: "default", Name: "old"}, "r1", "", 0)
	must(t, err)
	seat, _ := n.cluster.Lease().Seat()
	_, err = n.cluster.Group().Propose(soon(t), directory.Command{Op: directory.End, Seat: seat})
	must(t, err)
	await.That(t, "it has another session", func() bool {
		now, valid := n.cluster.Lease().Seat()
		return valid && now.Session > seat.Session
	})
	again, err := n.Claim(soon(t), first.Address, "r1", "", 0)
	if now, _ := n.cluster.Lease().Seat(); err != nil || again.Session != now.Session || again.Epoch <= first.Epoch {
		t.Errorf("again it is %+v, %v, after %+v", again, err, first)
	}
}

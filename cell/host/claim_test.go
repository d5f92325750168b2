package host_test

import (
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

func (n *node) claimsWithoutWaiting(id uint64) {
	n.t.Helper()
	limits := wire.FromLimits(cell.Limits{}.WithDefaults())
	n.send(id, 1, &wire.Control_Claim{Claim: &wire.Claim{Id: "c", Limits: limits, Unwaited: true}}, "")
}

// What a node sends right behind a claim is done, in order, whether a worker is ready
// or has to be started.
func TestWhatFollowsAClaimAtOnce(t *testing.T) {
	for name, pool := range map[string]uint32{"from the pool": 1, "started for it": 0} {
		t.Run(name, func(t *testing.T) {
			n := serve(t, pool)
			if pool > 0 {
				n.await("full pool", func(m *wire.Msg) bool { return m.GetPoolState().GetReady() == pool })
			}
			n.claimsWithoutWaiting(1)
			n.runs(1, 2, 0, "post 1")
			n.runs(1, 3, 0, "post 2")
			n.send(1, 0, &wire.Control_Inspect{Inspect: &wire.Inspect{}}, "")
			for _, want := range []string{"1", "2"} {
				if m := n.await("post", func(m *wire.Msg) bool { return m.GetPost() != nil }); string(m.Payload) != want {
					t.Errorf("posted %s, want %s", m.Payload, want)
				}
			}
			if err := n.outcome(1, 3); err != nil {
				t.Error(err)
			}
			if m := n.await("claimed", func(m *wire.Msg) bool { return m.GetClaimed() != nil }); m.GetClaimed().Hit != (pool > 0) {
				t.Errorf("from the pool: %v", m.GetClaimed().Hit)
			}
			n.send(1, 0, &wire.Control_Close{Close: &wire.Close{}}, "")
			n.await("end", func(m *wire.Msg) bool { return m.GetEnded().GetState() == string(cell.Closed) })
		})
	}
}

// A claim that nothing follows is answered all the same.
func TestAnUnwaitedClaimIsAnswered(t *testing.T) {
	n := serve(t, 1)
	n.await("full pool", func(m *wire.Msg) bool { return m.GetPoolState().GetReady() == 1 })
	n.claimsWithoutWaiting(1)
	n.await("claimed", func(m *wire.Msg) bool { return m.GetClaimed() != nil })
	n.await("refill", func(m *wire.Msg) bool { return m.GetPoolState().GetReady() == 1 })
}

func TestARefusedClaimRefusesWhatFollows(t *testing.T) {
	n := serve(t, 0)
	n.exec.FailStarts.Store(1)
	n.claimsWithoutWaiting(1)
	n.runs(1, 2, 0, "post 1")
	for op := uint64(1); op <= 2; op++ {
		if err := n.outcome(1, op); !errors.Is(err, cell.CellGone) {
			t.Errorf("message %d: %v", op, err)
		}
	}
	n.claim(1, cell.Limits{}) // the number is free again
}

// A cell without a worker keeps so much and no more.
func TestTooMuchBeforeTheWorker(t *testing.T) {
	n := serve(t, 0)
	n.exec.Hold()
	n.claimsWithoutWaiting(1)
	for op := uint64(2); op < 67; op++ {
		n.runs(1, op, 0, "")
	}
	if err := n.outcome(1, 66); !errors.Is(err, cell.Busy) {
		t.Errorf("the 65th message: %v", err)
	}
	n.exec.Release()
	for op := uint64(2); op < 66; op++ {
		if err := n.outcome(1, op); err != nil {
			t.Errorf("message %d: %v", op, err)
		}
	}
}

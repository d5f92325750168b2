package host_test

import (
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// A host that retires refuses the claims whose workers have not come: another host may do.
func TestClaimsUnderWayWhenTheHostRetires(t *testing.T) {
	n := serveWith(t, 0, killGrace, retireGrace)
	n.claim(1, cell.Limits{})
	n.exec.Hold()
	defer n.exec.Release()
	n.send(2, 1, &wire.Control_Claim{Claim: &wire.Claim{Id: "c2"}}, "")
	n.claimsWithoutWaiting(3)
	n.runs(3, 2, 0, "post 1")
	n.interrupted(1, 2, "wedge")
	for id, ops := range map[uint64][]uint64{2: {1}, 3: {1, 2}} {
		for _, op := range ops {
			if err := n.outcome(id, op); !errors.Is(err, cell.Busy) {
				t.Errorf("cell %d, operation %d: %v", id, op, err)
			}
		}
	}
}

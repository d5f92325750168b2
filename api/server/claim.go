package server

import (
	"context"
	"fmt"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// elsewhere is why a cell is not started here: the same request has had it started on another node.
type elsewhere struct{ place Place }

func (e *elsewhere) Error() string {
	return fmt.Sprintf("cell %s was started on node %s by the same request; try again", e.place.Address, e.place.Node)
}

func (e *elsewhere) Unwrap() error { return cell.Busy }

// epochs is where a cell's incarnations have their epochs from: the cluster, which so agrees to
// each of them before it runs anything. Nil: they are counted.
func (s *cells) epochs(e *entry, first live.Revision) func(context.Context, uint64) (uint64, error) {
	if s.fabric == nil {
		return nil
	}
	return func(ctx context.Context, last uint64) (uint64, error) {
		if last != 0 {
			return s.fabric.Restart(ctx, e.key.address(), last)
		}
		place, err := s.fabric.Claim(ctx, e.key.address(), claimOf(e.spawnedBy), first.Policy, first.Version)
		if err == nil && place.Node != s.fabric.Self() {
			err = &elsewhere{place}
		}
		return place.Epoch, err
	}
}

// claimOf is what the cluster knows a spawn by; "" for one that does not come again.
func claimOf(by actors.ID) string {
	if by == (actors.ID{}) {
		return ""
	}
	return by.String()
}

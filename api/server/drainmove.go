package server

import (
	"context"
	"errors"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

// movedAtOnce is how many cells a node that is drained moves at a time.
const movedAtOnce = 4

// stuckCell is one that cannot move, and why.
type stuckCell struct {
	entry *entry
	why   error
}

func stuckAll(all []*entry, why error) (stuck []stuckCell) {
	for _, e := range all {
		stuck = append(stuck, stuckCell{e, why})
	}
	return stuck
}

// moves says whether cells of this node can move.
func (s *cells) moves() bool { return s.fabric != nil && s.checkpoints != nil }

// moveAll moves cells to whichever other nodes take them, and returns those that none does. It notes in out what
// has moved.
func (d *drainer) moveAll(ctx context.Context, all []*entry, out *pb.DrainResponse) (stuck []stuckCell, err error) {
	var work sync.WaitGroup
	var mu sync.Mutex // of out and stuck
	turn := make(chan struct{}, movedAtOnce)
	for _, e := range all {
		turn <- struct{}{}
		work.Go(func() {
			defer func() { <-turn }()
			to, err := d.cells.moveAway(ctx, e)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && to != "":
				out.Moved = append(out.Moved, &pb.CellMove{Cell: &pb.CellRef{Tenant: e.key.tenant, Name: e.key.name}, From: d.cells.node(), To: to})
			case err != nil && !e.isFinal():
				stuck = append(stuck, stuckCell{e, err})
			}
		})
	}
	work.Wait()
	return stuck, ctx.Err()
}

// moveAway moves a cell of this node to one that is chosen as for a new cell. The node is "" for a cell that has
// ended meanwhile.
func (s *cells) moveAway(ctx context.Context, e *entry) (to string, err error) {
	select {
	case <-e.spawned:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if e.isFinal() || e.failed != nil {
		return "", nil
	}
	if !s.moves() {
		return "", errNoMigration
	}
	asked := proto.CloneOf(e.asked)
	asked.Tenant, asked.Name = e.key.tenant, e.key.name
	// As for its spawn: whoever drains a node need not be one who may write its policy.
	wish, _, err := s.wish(context.WithValue(ctx, principalKey{}, policystore.Principal{Name: principalOf(ctx).Name, Role: policystore.Admin}), asked)
	if err != nil {
		return "", err
	}
	without := []string{s.fabric.Self()}
	for {
		to, choose := s.fabric.Choose(ctx, wish, without)
		if choose != nil {
			if err == nil {
				err = choose
			}
			return "", err
		}
		if err = s.moveTo(ctx, e, to); err == nil || !tryAnother(err) || len(without) > placings {
			return to, err
		}
		without = append(without, to)
	}
}

// tryAnother says that it is the node that does not take the cell, and another one may.
func tryAnother(err error) bool {
	return refusedByNode(err) || slices.Contains([]cell.Kind{cell.Invalid, cell.PolicyDenied}, cell.KindOf(err))
}

// moveTo moves a cell of this node, when the move of it is over that somebody else has begun.
func (s *cells) moveTo(ctx context.Context, e *entry, to string) error {
	if err := e.rests(ctx); err != nil {
		return err
	}
	ctx, m, err := s.beginMove(ctx, e, to)
	if err == nil {
		defer m.end()
		err = m.run(ctx)
	}
	if errors.Is(err, actors.ErrMoved) { // by somebody else
		return nil
	}
	return err
}

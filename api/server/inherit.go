package server

import (
	"cmp"
	"context"
	"log/slog"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
)

// Inherit has a cell go on here of which this node has become the owner without its asking: its node is gone,
// or could not run it. It begins with the checkpoint that the place names, of which this node has a copy. It
// does not block.
func (s *Server) Inherit(p Place) {
	s.book.ends.Go(func() { s.transfers.inherit(p) })
}

// adopt has a suspended cell go on here of whose checkpoint this node has a copy.
func (t *transfers) adopt(ctx context.Context, p Place) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), arriveWithin)
	defer cancel()
	release := t.fabric.Hand(p.Address)
	defer release()
	own, err := t.fabric.Adopt(ctx, p.Address, p.Epoch)
	if err != nil {
		return err
	}
	return t.goOn(ctx, own)
}

// goOn has a cell of this node, which nothing runs of, go on from its checkpoint. When it fails the cell is
// another's, or suspended. The caller has it in hand.
func (t *transfers) goOn(ctx context.Context, p Place) error {
	v, err := t.reserved(ctx, p)
	if err != nil {
		t.yield(ctx, p.Address, p.Epoch)
		return err
	}
	v.owned.Store(p.Epoch)
	return t.arrive(ctx, v, p.Checkpoint, nil, func(context.Context) (uint64, error) { return p.Epoch, nil })
}

func (t *transfers) inherit(p Place) {
	ctx, cancel := context.WithTimeout(t.ending, arriveWithin)
	defer cancel()
	release := t.fabric.Hand(p.Address)
	defer release()
	if err := t.goOn(ctx, p); err != nil {
		t.logger.Warn("a cell that has become this node's cannot go on here", slog.String("cell", p.Address.String()), slog.Uint64("epoch", p.Epoch), slog.Any("error", err))
		return
	}
	t.logger.Info("a cell that has become this node's goes on here", slog.String("cell", p.Address.String()), slog.Uint64("epoch", p.Epoch))
}

// reserved is an empty cell for one that this node is the owner of: the one that was reserved for its move, or
// one by what its checkpoint says.
func (t *transfers) reserved(ctx context.Context, p Place) (*reservation, error) {
	switch v, over := t.takeFor(p.Address, p.Checkpoint); {
	case v != nil:
		return v, nil
	case over != nil:
		select {
		case <-over:
		case <-ctx.Done():
			return nil, cell.Errorf(cell.Busy, "what was reserved for cell %s has not ended", p.Address)
		}
	}
	if t.checkpoints == nil {
		return nil, errNoCheckpoints
	}
	info, err := t.checkpoints.Archive.Get(p.Checkpoint)
	if err != nil {
		return nil, worded(err)
	}
	h := info.Header
	asked, err := t.spawnedWith(info.ID, checkpoint.Expect{Tenant: p.Address.Tenant, Cell: p.Address.Name})
	if err != nil {
		return nil, err
	}
	ctx = asNode(ctx, t.node())
	k := cellKey{p.Address.Tenant, p.Address.Name}
	v := &reservation{reserved: reserved{migration: "inherited " + p.Address.String()}, asked: recorded(asked), taken: make(chan struct{})}
	if err := t.reserve(ctx, v, k, &pb.ReserveRequest{Id: cmp.Or(asked.GetRequestId(), newCellID()), Backend: h.Backend}); err != nil {
		return nil, err
	}
	if t.take(v.reserved) == nil {
		return nil, cell.Errorf(cell.Busy, "cell %s was given up", p.Address)
	}
	return v, nil
}

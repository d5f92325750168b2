package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

const (
	// inheritedAtOnce is how many cells of nodes that are gone are brought up at a time: each starts a guest and reads
	// a state. The others wait for their turn.
	inheritedAtOnce = 8
	// passingFor is how long a cell is tried again that cannot go on here for a reason that may pass.
	passingFor = 10 * time.Second
)

// Inherit has a cell go on here of which this node has become the owner without its asking: its node is gone,
// or could not run it. It begins with the checkpoint that the place names, of which this node has a copy. It
// does not block.
func (s *Server) Inherit(p Place) {
	s.book.ends.Go(func() { s.transfers.inherit(p) })
}

// bringing is a cell on its way to go on here, of which this node has become the owner in that epoch.
type bringing struct {
	epoch uint64
	done  chan struct{} // closed when err is set
	err   error
}

// goOn has a cell of this node, which nothing runs of, go on from its checkpoint. When it fails the cell is
// another's, or suspended. The caller has it in hand. Several who hear at once that it has come, by asking and
// being told, have it go on once. A caller that tries again has a cell left as it is for which there was no room here,
// and is given a notYetError.
func (t *transfers) goOn(ctx context.Context, p Place, tries bool) error {
	k := cellKey{p.Address.Tenant, p.Address.Name}
	for {
		b, first := t.bring(k, p.Epoch)
		if first {
			b.err = errNotBrought // if it panics
			defer t.brought(k, b)
			b.err = t.bringUp(ctx, k, p, tries)
			return b.err
		}
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.epoch == p.Epoch {
			return b.err
		}
	}
}

// errNotBrought is of what broke off.
var errNotBrought = cell.Errorf(cell.Busy, "it has broken off; the node's log says where")

// bring is who brings a cell up, and whether that is the caller, who calls brought.
func (t *transfers) bring(k cellKey, epoch uint64) (b *bringing, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b = t.bringing[k]; b != nil {
		return b, false
	}
	b = &bringing{epoch: epoch, done: make(chan struct{})}
	t.bringing[k] = b
	return b, true
}

func (t *transfers) brought(k cellKey, b *bringing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.bringing, k)
	close(b.done)
}

// bringUp is goOn for one at a time.
func (t *transfers) bringUp(ctx context.Context, k cellKey, p Place, tries bool) error {
	if e, err := t.book.find(k); err == nil && e.at() == p.Epoch && !e.isFinal() { // it was told of twice
		return nil
	}
	if now, known := t.fabric.Find(p.Address); !known || now.Epoch != p.Epoch || now.Node != p.Node {
		return fmt.Errorf("%w: cell %s is in epoch %d with node %q, not in %d", policystore.ErrConflict, k, now.Epoch, now.Node, p.Epoch)
	}
	v, err := t.reserved(ctx, p)
	switch {
	case err != nil && tries && mayPass(err):
		return &notYetError{err}
	case err != nil:
		t.yield(ctx, p.Address, p.Epoch)
		return err
	}
	v.owned.Store(p.Epoch)
	return t.arrive(ctx, v, p.Checkpoint, nil, func(context.Context) (uint64, error) { return p.Epoch, nil })
}

// notYetError is of a cell that is this node's still, and does not go on.
type notYetError struct{ error }

// Unwrap is for errors.Is and errors.As.
func (e *notYetError) Unwrap() error { return e.error }

// mayPass says of why there is no room for a cell whether it may be otherwise in a moment: others come or leave, the
// policies of now are on their way.
func mayPass(err error) bool {
	return errors.Is(err, policystore.ErrLimited) || errors.Is(err, policystore.ErrStale) || errors.Is(err, fault.ErrUnavailable) || cell.KindOf(err) == cell.Busy
}

// inherit has a cell go on here when it is its turn. The cell of a node that is gone may have no other heir: what
// passes is waited for, for a while, and not in the way of others.
func (t *transfers) inherit(p Place) {
	release := t.fabric.Hand(p.Address)
	defer release()
	began := time.Now()
	for next := again[0]; ; next = min(2*next, time.Second) {
		err := t.inheritNow(p, time.Since(began) < passingFor)
		var later *notYetError
		switch {
		case err == nil:
			t.logger.Info("a cell that has become this node's goes on here", slog.String("cell", p.Address.String()), slog.Uint64("epoch", p.Epoch))
			return
		case !errors.As(err, &later) || !pause.For(t.ending, next):
			t.logger.Warn("a cell that has become this node's cannot go on here", slog.String("cell", p.Address.String()), slog.Uint64("epoch", p.Epoch), slog.Any("error", err))
			return
		}
	}
}

// inheritNow is one try of inherit. The time that it may take begins with its turn.
func (t *transfers) inheritNow(p Place, tries bool) error {
	select {
	case t.turns <- struct{}{}:
	case <-t.ending.Done():
		return fmt.Errorf("%w: node %s ends", fault.ErrUnavailable, t.node())
	}
	defer func() { <-t.turns }()
	ctx, cancel := context.WithTimeout(t.ending, arriveWithin)
	defer cancel()
	return t.goOn(ctx, p, tries)
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
		return nil, t.worded(err)
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

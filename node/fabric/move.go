package fabric

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/policystore"
)

// Seat implements server.Mover.
func (f *Fabric) Seat(node string) (session uint64, ok bool) {
	c := f.at()
	if c == nil {
		return 0, false
	}
	session = c.Group().Sessions()[node]
	return session, session != 0
}

// Via implements server.Mover.
func (f *Fabric) Via(node string) actors.Via {
	if c := f.at(); c != nil {
		return c.Via(node)
	}
	return nil
}

// BeginMove implements server.Mover.
func (f *Fabric) BeginMove(ctx context.Context, a actors.Address, epoch uint64, migration, to string, session uint64) error {
	target := directory.Seat{Node: to, Session: session}
	_, err := f.change(ctx, directory.Command{Op: directory.Begin, Seat: target, Cell: cellOf(a), Epoch: epoch, Request: migration},
		func(r directory.Record) bool {
			return r.Epoch == epoch && r.Migration == migration && r.Target == target
		})
	return err
}

// Freeze implements server.Mover.
func (f *Fabric) Freeze(ctx context.Context, a actors.Address, epoch uint64, checkpoint string, nodes []string) error {
	seat, err := f.seat()
	if err != nil {
		return err
	}
	_, err = f.change(ctx, directory.Command{Op: directory.Freeze, Seat: seat, Cell: cellOf(a), Epoch: epoch, Checkpoint: checkpoint, Nodes: nodes, Remember: true},
		func(r directory.Record) bool {
			return r.Epoch == epoch && r.Phase == directory.Frozen && r.Checkpoint == checkpoint
		})
	return err
}

// Activate implements server.Mover.
func (f *Fabric) Activate(ctx context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	return f.take(ctx, a, epoch, directory.Activate)
}

// AbortMove implements server.Mover.
func (f *Fabric) AbortMove(ctx context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	later := func(r directory.Record) bool { return r.Epoch > epoch }
	abort := directory.Command{Op: directory.Abort, Cell: cellOf(a), Epoch: epoch}
	r, err := f.change(ctx, abort, later)
	// That it is to begin may have been proposed, and be late: it comes after this, or between what follows.
	for range 2 {
		seat, valid := f.seat()
		if !errors.Is(err, policystore.ErrConflict) || valid != nil || r.Owner != seat || r.Epoch != epoch {
			break
		}
		end := abort
		if r.Phase == directory.Active {
			end = directory.Command{Op: directory.Restart, Seat: seat, Cell: cellOf(a), Epoch: epoch}
		}
		r, err = f.change(ctx, end, later)
	}
	if err != nil {
		return placeOf(r), err
	}
	return f.settled(a, r)
}

// Resume implements server.Mover.
func (f *Fabric) Resume(ctx context.Context, a actors.Address, epoch uint64, checkpoint string) error {
	seat, err := f.seat()
	if err != nil {
		return err
	}
	_, err = f.change(ctx, directory.Command{Op: directory.Resume, Seat: seat, Cell: cellOf(a), Epoch: epoch, Checkpoint: checkpoint},
		func(r directory.Record) bool { return r.Epoch == epoch && r.Checkpoint != checkpoint })
	return err
}

// Yield implements server.Mover.
func (f *Fabric) Yield(ctx context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	seat, err := f.seat()
	if err != nil {
		return server.Place{}, err
	}
	r, err := f.change(ctx, directory.Command{Op: directory.Yield, Seat: seat, Cell: cellOf(a), Epoch: epoch},
		func(r directory.Record) bool { return r.Epoch > epoch && r.Owner != seat })
	if err != nil {
		return placeOf(r), err
	}
	return f.settled(a, r)
}

// Adopt implements server.Mover.
func (f *Fabric) Adopt(ctx context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	return f.take(ctx, a, epoch, directory.Adopt)
}

// take makes this node the owner.
func (f *Fabric) take(ctx context.Context, a actors.Address, epoch uint64, by directory.Op) (server.Place, error) {
	seat, err := f.seat()
	if err != nil {
		return server.Place{}, err
	}
	defer f.Hand(a)() // it is asked for
	r, err := f.change(ctx, directory.Command{Op: by, Seat: seat, Cell: cellOf(a), Epoch: epoch},
		func(r directory.Record) bool { return r.Epoch == epoch+1 && r.Owner == seat })
	if err != nil {
		return placeOf(r), err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch has, ours := f.owned[a]; {
	case !f.holds(r): // the lease is over since
		return placeOf(r), errCutOff
	case (!ours || has.Epoch < r.Epoch) && by == directory.Adopt:
		f.comesTo(a, r)
	case !ours || has.Epoch < r.Epoch: // the actor that takes it up has the name already
		f.owned[a], f.arrives[a] = r, true
	case by == directory.Adopt: // each that asks would have it go on
		return placeOf(r), cell.Errorf(cell.Busy, "cell %s is being taken up by this node already", a)
	}
	return placeOf(r), nil
}

// Save implements server.Mover.
func (f *Fabric) Save(ctx context.Context, a actors.Address, epoch uint64, checkpoint string, nodes []string) error {
	r, known := f.record(a) // a cell may be saved as soon as it is claimed
	if !known {
		return gone(a)
	}
	return f.saveOver(ctx, r, a, epoch, checkpoint, nodes)
}

// saveOver has a checkpoint count in place of what a record has. Where that counted already, who has dropped it since
// does not have it any more, whatever the caller thinks: then it is for the caller to look again.
func (f *Fabric) saveOver(ctx context.Context, r directory.Record, a actors.Address, epoch uint64, checkpoint string, nodes []string) error {
	seat, err := f.seat()
	if err != nil {
		return err
	}
	nodes = slices.Sorted(slices.Values(nodes))
	for range tries { // others drop their copies of what counts meanwhile
		if r.Epoch > epoch {
			return overtaken(a, epoch, r)
		}
		before := r
		saved := func(r directory.Record) bool {
			return r.Epoch == epoch && r.Owner == seat && r.Checkpoint == checkpoint &&
				(before.Checkpoint != checkpoint || slices.Equal(r.Copies, nodes)) // or it was made, and somebody has dropped a copy
		}
		_, err = f.change(ctx, directory.Command{Op: directory.Save, Seat: seat, Cell: cellOf(a), Epoch: epoch, Revision: r.Revision, Checkpoint: checkpoint, Nodes: nodes}, saved)
		if !errors.Is(err, policystore.ErrConflict) {
			return err
		}
		var known bool
		if r, known = f.record(a); !known {
			return gone(a)
		}
		if before.Checkpoint == checkpoint && !slices.Equal(before.Copies, r.Copies) {
			return err
		}
	}
	return err
}

func gone(a actors.Address) error {
	return cell.Errorf(cell.CellGone, "there is no cell %s any more", a)
}

// DropCopy implements server.Mover.
func (f *Fabric) DropCopy(ctx context.Context, a actors.Address, epoch uint64, checkpoint string) error {
	self := f.Self()
	counts := func(r directory.Record) bool { return r.Checkpoint == checkpoint && r.Holds(self) }
	if err := f.Refresh(ctx); err != nil {
		return err
	}
	for range tries { // others change who has copies, too
		r, known := f.at().Group().Find(cellOf(a))
		switch {
		case !known || !r.Needs(self, checkpoint):
			return nil
		case !counts(r):
			return cell.Errorf(cell.Busy, "checkpoint %.16s is needed here: cell %s may come back to it, from a move", checkpoint, a)
		case r.Epoch != epoch:
			return overtaken(a, epoch, r)
		}
		_, err := f.change(ctx, directory.Command{Op: directory.Drop, Seat: directory.Seat{Node: self}, Cell: cellOf(a), Epoch: epoch, Revision: r.Revision},
			func(r directory.Record) bool { return !counts(r) })
		switch {
		case errors.Is(err, directory.ErrLastCopy):
			return cell.Errorf(cell.Busy, "checkpoint %.16s is needed here: %v", checkpoint, err)
		case !errors.Is(err, policystore.ErrConflict):
			return err
		}
	}
	return fmt.Errorf("%w: who has copies of cell %s goes on changing; try again", policystore.ErrConflict, a)
}

// change has something agreed about a cell. done says of a record whether the change is made, when the
// answer was lost or another made it.
func (f *Fabric) change(ctx context.Context, c directory.Command, done func(directory.Record) bool) (r directory.Record, err error) {
	if f.at() == nil {
		return r, errCutOff
	}
	ctx, cancel := context.WithTimeout(ctx, agreeWithin)
	defer cancel()
	g := f.at().Group()
	for range tries {
		var out directory.Outcome
		if out, err = g.Propose(ctx, c); !errors.Is(err, group.ErrUncertain) {
			r = out.Record
			break
		}
	}
	switch {
	case errors.Is(err, directory.ErrInvalid):
		return r, cell.Errorf(cell.Invalid, "%v", err)
	case errors.Is(err, directory.ErrNoSession) && c.Op == directory.Begin: // the target's
		return r, fmt.Errorf("%w: node %s has no lease any more, or another", fault.ErrUnavailable, c.Seat.Node)
	case !errors.Is(err, directory.ErrStale) && !errors.Is(err, directory.ErrNoCell):
		return r, told(err)
	}
	if err := f.Refresh(ctx); err != nil {
		return r, err
	}
	r, known := g.Find(c.Cell)
	switch {
	case !known:
		return r, cell.Errorf(cell.CellGone, "there is no cell %s any more", c.Cell)
	case done(r):
		return r, nil
	}
	return r, fmt.Errorf("%w: %v", policystore.ErrConflict, err) //nolint:errorlint // it is the caller's word for it
}

func overtaken(a actors.Address, epoch uint64, r directory.Record) error {
	return fmt.Errorf("%w: cell %s is in epoch %d with node %q, not in %d", policystore.ErrConflict, a, r.Epoch, r.Owner.Node, epoch)
}

// Decided implements server.Mover.
func (f *Fabric) Decided(ctx context.Context, a actors.Address, epoch uint64) (server.Place, error) {
	c := f.at()
	if c == nil {
		return server.Place{}, errCutOff
	}
	for {
		news := f.news()
		r, known := c.Group().Find(cellOf(a))
		switch {
		case !known:
			return server.Place{}, cell.Errorf(cell.CellGone, "there is no cell %s any more", a)
		case r.Epoch > epoch:
			return f.settled(a, r)
		case f.Valid() != nil:
			return placeOf(r), errCutOff
		}
		select {
		case <-news:
		case <-ctx.Done():
			return placeOf(r), context.Cause(ctx)
		case <-f.life.Done():
			return placeOf(r), errCutOff
		}
	}
}

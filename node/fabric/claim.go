package fabric

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/group"
)

// agreeWithin is how long a call waits for the cluster to agree to something, or to tell what was
// agreed: far longer than the change of its leader takes. A cluster without a majority agrees to nothing.
const agreeWithin = 5 * time.Second

// tries bounds how often a claim is proposed that others' names or lost answers are in the way of.
const tries = 4

// Claim implements server.Fabric.
func (f *Fabric) Claim(ctx context.Context, a actors.Address, request, policy string, version uint64) (server.Place, error) {
	r, err := f.claim(ctx, a, request, policy, version)
	if err != nil {
		return server.Place{}, err
	}
	return placeOf(r), nil
}

// claim gives this node a name, and returns the record. It may be that of another node, or an
// earlier one of this node, when the same request has made it.
func (f *Fabric) claim(ctx context.Context, a actors.Address, request, policy string, version uint64) (r directory.Record, err error) {
	if request == "" {
		request = rand.Text() // what comes again is known again
	}
	waiting, cancel := context.WithTimeout(ctx, agreeWithin)
	defer cancel()
	if err := f.beginClaim(waiting, a); err != nil {
		return r, told(err)
	}
	// To its end, or it could come about after it was looked for in vain.
	agreeing, cancel := context.WithTimeout(context.WithoutCancel(ctx), agreeWithin)
	defer cancel()
	r, unclear, err := f.propose(agreeing, a, directory.Command{Op: directory.Claim, Cell: cellOf(a), Request: request, Policy: policy, Version: version})
	if err == nil && !f.own(ctx, a, r) {
		r, unclear, err = directory.Record{}, true, errCutOff
		if ctx.Err() != nil {
			err = told(context.Cause(ctx))
		}
	}
	f.endClaim(a)
	if unclear {
		f.repent(a, request)
	}
	return r, err
}

// propose has a claim agreed. Where it is unclear whether it was, an error says so.
func (f *Fabric) propose(ctx context.Context, a actors.Address, c directory.Command) (r directory.Record, unclear bool, err error) {
	for range tries {
		if c.Seat, err = f.seat(); err != nil {
			return r, false, err // the end of the session gives all back
		}
		out, err := f.at().Group().Propose(ctx, c)
		switch {
		case err == nil && !over(out.Record, c.Seat):
			return out.Record, false, nil
		case errors.Is(err, group.ErrUncertain) && ctx.Err() == nil: // the same request is answered as the first was
		case err == nil, errors.Is(err, directory.ErrTaken):
			if err := f.makeRoom(ctx, c.Seat, out.Record); err != nil {
				return r, false, err
			}
		case errors.Is(err, directory.ErrNoSession): // it has lapsed since
			return r, false, errCutOff
		default:
			return r, true, told(err)
		}
	}
	return r, true, cell.Errorf(cell.Busy, "the name %s could not be had: others have claimed it, or the cluster's leader changes; try again", a)
}

// seat is this node in its session, while it may claim.
func (f *Fabric) seat() (directory.Seat, error) {
	c := f.at()
	if c == nil || c.Lease() == nil {
		return directory.Seat{}, errCutOff
	}
	seat, valid := c.Lease().Seat()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !valid || f.leaving {
		return directory.Seat{}, errCutOff
	}
	return seat, nil
}

// over says that a record of the same request is of a cell that is no more: of a node that is gone, or
// of an earlier session of this one.
func over(r directory.Record, seat directory.Seat) bool {
	return r.Owner.Node == "" || r.Owner.Node == seat.Node && r.Owner != seat
}

// own notes what this node has, and says whether it goes on having it: its session is not over, and its actor, with which
// ctx ends, is there yet: one that is not has given back what was noted before.
func (f *Fabric) own(ctx context.Context, a actors.Address, r directory.Record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.Owner.Node != f.Self():
		return true
	case ctx.Err() != nil || !f.holds(r):
		return false
	}
	f.owned[a] = r
	return true
}

// holds says whether a record is of this node, in a session that it has. Of one that is over nothing is noted: Lapsed may have
// been, and nobody would take it away. f.mu is held.
func (f *Fabric) holds(r directory.Record) bool {
	c := f.at()
	if c == nil || c.Lease() == nil {
		return false
	}
	seat, _ := c.Lease().Seat()
	return seat.Session != 0 && r.Owner == seat
}

// makeRoom has whoever holds a name and does not use it any more give it up, or says why not.
func (f *Fabric) makeRoom(ctx context.Context, seat directory.Seat, r directory.Record) error {
	a := addressOf(r.Cell)
	switch {
	case r.Phase == directory.Suspended && r.Checkpoint == "":
		return f.release(ctx, r.Cell, directory.Seat{}, r.Epoch)
	case r.Phase == directory.Suspended:
		return cell.Errorf(cell.Invalid, "there is a cell %s already: it waits for a node that has its checkpoint; restore it, or use another name", a)
	case r.Owner == seat && f.comes(a, r):
		f.names.strays(a)
		return cell.Errorf(cell.Invalid, "there is a cell %s already: it is on its way to this node; use another name", a)
	case r.Owner == seat: // of an actor of this node that is no more
		return f.release(ctx, r.Cell, seat, r.Epoch)
	case r.Owner.Node == seat.Node: // of an earlier session, whose end is on its way
		return f.Refresh(ctx)
	}
	// A node that has not heard of the record yet would take it for one that is no more, and propose in vain.
	if err := f.Refresh(ctx); err != nil {
		return err
	}
	free, err := f.askForget(ctx, r)
	switch {
	case free:
		return nil
	case err != nil:
		return cell.Errorf(cell.Busy, "there is a cell %s on node %s, which does not answer; try again when its lease has lapsed: %v", a, r.Owner.Node, err)
	}
	return cell.Errorf(cell.Invalid, "there is a cell %s already, on node %s; close it, or use another name", a, r.Owner.Node)
}

// Restart gives the next incarnation of a cell of this node its epoch.
func (f *Fabric) Restart(ctx context.Context, a actors.Address, epoch uint64) (uint64, error) {
	seat, err := f.seat()
	if err != nil {
		return 0, err
	}
	defer f.Hand(a)() // that epoch is asked for
	ctx, cancel := context.WithTimeout(ctx, agreeWithin)
	defer cancel()
	g := f.at().Group()
	out, err := g.Propose(ctx, directory.Command{Op: directory.Restart, Seat: seat, Cell: cellOf(a), Epoch: epoch})
	r := out.Record
	if errors.Is(err, group.ErrUncertain) { // nobody else gives our cell an epoch in our session
		if err = f.Refresh(ctx); err == nil {
			var known bool
			if r, known = g.Find(cellOf(a)); !known || r.Owner != seat || r.Epoch <= epoch {
				err = cell.Errorf(cell.Busy, "it is not known whether cell %s has a new epoch; try again", a)
			}
		}
	}
	if errors.Is(err, directory.ErrStale) && f.wasRestarted(a, epoch, seat, r) {
		err = nil
	}
	switch {
	case errors.Is(err, directory.ErrStale), errors.Is(err, directory.ErrNoCell):
		return 0, cell.Errorf(cell.CellGone, "cell %s is not this node's any more: %v", a, err)
	case err != nil:
		return 0, told(err)
	}
	if !f.succeed(a, epoch, r) {
		return 0, cell.Errorf(cell.CellGone, "cell %s has ended meanwhile", a)
	}
	return r.Epoch, nil
}

// wasRestarted says whether a cell of this node has had its next epoch already: it was asked for before, and agreed on when the
// answer was waited for no more.
func (f *Fabric) wasRestarted(a actors.Address, epoch uint64, seat directory.Seat, r directory.Record) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	has, ours := f.owned[a]
	return ours && has.Epoch == epoch && r.Owner == seat && r.Epoch == epoch+1 && r.Phase == directory.Active
}

// succeed notes the next incarnation of what this node has, unless that has ended since.
func (f *Fabric) succeed(a actors.Address, epoch uint64, r directory.Record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if has, ours := f.owned[a]; !ours || has.Epoch != epoch {
		f.give(a, r)
		return false
	}
	f.owned[a] = r
	return true
}

func (f *Fabric) release(ctx context.Context, c directory.Cell, seat directory.Seat, epoch uint64) error {
	_, err := f.at().Group().Propose(ctx, directory.Command{Op: directory.Release, Seat: seat, Cell: c, Epoch: epoch})
	if errors.Is(err, directory.ErrNoCell) || errors.Is(err, directory.ErrStale) { // it was done, or is another's
		return nil
	}
	return err
}

package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/policystore"
)

// early is a state that is put into a reserved cell while it still comes. Its objects are made; the end, behind
// which hooks run, comes when this node owns the cell.
type early struct {
	file   *checkpoint.Following
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when it has ended
	err    error         // then
}

// expects has what comes for a reservation be put into its cell from its first byte on. What is sent in the name
// of a move that has nothing reserved here any more is given up; copies are nobody's.
func (t *transfers) expects(ctx context.Context, which reserved, arrival *checkpoint.Arrival) error {
	if _, is := copyOf(which.migration); is {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.all[which]
	if v == nil || !v.ready {
		_ = arrival.Discard()
		return t.gone(which)
	}
	v.arrival = arrival
	if v.ahead != nil {
		return nil // another stream goes on
	}
	file, err := arrival.Follow()
	if err != nil {
		return nil // all of it is here: it is read then
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	a := &early{file: file, cancel: cancel, over: make(chan struct{})}
	v.ahead = a
	t.book.ends.Go(func() {
		defer close(a.over)
		defer cancel(nil)
		a.err = t.readAhead(ctx, v, a)
	})
	return nil
}

// gone says that nothing waits for what comes.
func (t *transfers) gone(which reserved) error {
	return fmt.Errorf("%w: node %s has no cell reserved for migration %s any more", policystore.ErrConflict, t.node(), text(which.migration))
}

// why is the reason that what comes is taken no more, rather than what that led to: what was reserved ends when it
// cannot be kept, and it is given up when nothing is reserved for it any more.
func (t *transfers) why(which reserved, err error) error {
	t.mu.Lock()
	waits := t.all[which] != nil
	t.mu.Unlock()
	if _, is := copyOf(which.migration); !is && !waits && errors.Is(err, checkpoint.ErrNotFound) {
		return t.gone(which)
	}
	return t.worded(err)
}

// breakOff ends what comes for a reservation that is given up. A file that is whole stays: it may be counted on.
func (t *transfers) breakOff(v *reservation) {
	t.mu.Lock()
	arrival, begun := v.arrival, v.ahead
	t.mu.Unlock()
	if begun != nil {
		begun.cancel(nil)
	}
	if arrival != nil {
		_ = arrival.Discard()
	}
}

// hold keeps the state that a reservation waits for. What has come too late for it is removed: who has sent it
// is told so, and nobody counts on it.
func (t *transfers) hold(which reserved, id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.all[which]
	switch {
	case v != nil && v.state == id: // who has sent it asks again
		return nil
	case v == nil || v.held != nil:
		_ = t.checkpoints.Archive.Remove(id)
		return t.gone(which)
	}
	held, err := t.checkpoints.Archive.Hold(id)
	if err == nil {
		v.state, v.held = id, held
	}
	return err
}

// letGo has the file of a state be old some day: the cluster counts on it, or nobody does.
func (t *transfers) letGo(v *reservation) {
	t.mu.Lock()
	held := v.held
	t.mu.Unlock()
	if held != nil {
		held()
	}
}

// readAhead puts the state into the cell, until ctx or the cell ends. The cell ends when it fails.
func (t *transfers) readAhead(ctx context.Context, v *reservation, a *early) (err error) {
	c := v.resident.cell
	restored := false
	defer func() { // also when something panics
		if !restored {
			c.Kill("its state could not be restored")
		}
	}()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-c.Done():
		case <-ctx.Done():
		case <-stop:
		}
		_ = a.file.Close()
	}()
	o, err := a.file.Open(checkpoint.Expect{Tenant: v.entry.key.tenant, Cell: v.entry.key.name})
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	if err := t.restore(ctx, c, o); err != nil {
		return err
	}
	restored = true
	return nil
}

// putIn has a state be in the cell that was reserved for it, of which this node is the owner.
func (t *transfers) putIn(ctx context.Context, v *reservation, epoch uint64, id string) error {
	if v.ahead == nil {
		return t.fill(ctx, v.resident, epoch, id)
	}
	began := time.Now()
	err := v.ahead.finish(ctx, func() error {
		if v.state != id {
			return cell.Errorf(cell.Invalid, "checkpoint %.16s was to come for cell %s, and %.16s has", id, v.entry.key, v.state)
		}
		return nil
	})
	size := int64(0)
	if info, unknown := t.checkpoints.Archive.Get(id); unknown == nil {
		size = info.Size
	}
	return t.filled(v.resident, epoch, id, size, began, err)
}

// finish has the state come to its end, if may has nothing against it.
func (a *early) finish(ctx context.Context, may func() error) error {
	defer a.cancel(nil)
	if err := may(); err != nil {
		return err
	}
	a.file.Allow()
	select {
	case <-a.over:
		return a.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

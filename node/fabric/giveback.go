package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/pause"
)

const (
	// pauses between tries to give something back: the first, and the longest.
	firstPause, lastPause = 50 * time.Millisecond, 2 * time.Second
	// repentWithin is how long is tried to find out what became of a claim.
	repentWithin = time.Minute
)

// ended gives back what a cell had whose actor is no more, in the background, if the actor was the cell's: that is asked
// with f.mu held.
func (f *Fabric) ended(a actors.Address, wasIts func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !wasIts() {
		return
	}
	if h := f.hands[a]; h != nil { // whoever owns it just now
		h.gone = true
	}
	has, ours := f.owned[a]
	if !ours {
		return
	}
	delete(f.owned, a)
	if f.arrives[a] { // it never ran here, and can elsewhere
		delete(f.arrives, a)
		f.giveBy(a, has, f.passOn)
		return
	}
	f.give(a, has)
}

// give gives a record of this node back, in the background; whoever claims its name waits for that.
// f.mu is held.
func (f *Fabric) give(a actors.Address, has directory.Record) { f.giveBy(a, has, f.withdraw) }

// giveBy is give by what has it agreed.
func (f *Fabric) giveBy(a actors.Address, has directory.Record, agree func(context.Context, directory.Record) error) {
	if f.closed || f.leaving {
		return // the end of the session does
	}
	before, done := f.giving[a], make(chan struct{})
	f.giving[a] = done
	f.work.Go(func() {
		if before != nil {
			<-before
		}
		f.giveBack(has, agree)
		f.mu.Lock()
		if f.giving[a] == done {
			delete(f.giving, a)
		}
		f.mu.Unlock()
		close(done)
		f.comesBack(a)
	})
}

// comesBack has a cell go on that has come to this node while it had an earlier record of it, or was giving that back: the
// news of it were passed over then. A lease may have ended so while the cell was on its way here.
func (f *Fabric) comesBack(a actors.Address) {
	c := f.at()
	if r, known := c.Group().Find(cellOf(a)); known && r.Owner.Node == c.Self() {
		f.inherit(a, r)
	}
}

// giveBack tries until it is done, or the session is not this any more.
func (f *Fabric) giveBack(has directory.Record, agree func(context.Context, directory.Record) error) {
	for next := firstPause; ; next = min(2*next, lastPause) {
		ctx, cancel := context.WithTimeout(f.life, 10*time.Second)
		err := agree(ctx, has)
		cancel()
		if seat, _ := f.at().Lease().Seat(); err == nil || seat != has.Owner {
			return
		}
		f.logger.Debug("a name is not given back yet", "cell", has.Cell.String(), "error", err)
		if !pause.For(f.life, next) {
			return
		}
	}
}

// withdraw has a record of this node's forgotten, also when a move of it is under way, or has given it
// back to this node meanwhile: nobody here runs it.
func (f *Fabric) withdraw(ctx context.Context, has directory.Record) error {
	g := f.at().Group()
	for range tries {
		out, err := g.Propose(ctx, directory.Command{Op: directory.Release, Seat: has.Owner, Cell: has.Cell, Epoch: has.Epoch})
		r := out.Record
		switch {
		case errors.Is(err, directory.ErrNoCell):
			return nil
		case !errors.Is(err, directory.ErrStale):
			return err
		case r.Owner != has.Owner || r.Epoch < has.Epoch: // it is another's
			return nil
		case r.Phase == directory.Frozen:
			out, err = g.Propose(ctx, directory.Command{Op: directory.Abort, Cell: has.Cell, Epoch: r.Epoch})
			if err != nil && !errors.Is(err, directory.ErrStale) && !errors.Is(err, directory.ErrNoCell) {
				return err
			}
		}
		has.Epoch = max(r.Epoch, out.Record.Epoch)
	}
	return fmt.Errorf("cell %s goes on being moved", has.Cell)
}

// passOn has a record of this node's be another's, or suspended.
func (f *Fabric) passOn(ctx context.Context, has directory.Record) error {
	_, err := f.at().Group().Propose(ctx, directory.Command{Op: directory.Yield, Seat: has.Owner, Cell: has.Cell, Epoch: has.Epoch})
	if errors.Is(err, directory.ErrNoCell) || errors.Is(err, directory.ErrStale) { // it is another's
		return nil
	}
	return err
}

// given waits until a name that this node gives back is given back.
func (f *Fabric) given(ctx context.Context, a actors.Address) error {
	return f.onceGiven(ctx, a, func() {})
}

// onceGiven does something under f.mu when a name is not being given back.
func (f *Fabric) onceGiven(ctx context.Context, a actors.Address, do func()) error {
	for {
		f.mu.Lock()
		done := f.giving[a]
		if done == nil {
			do()
			f.mu.Unlock()
			return nil
		}
		f.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("the name %s is still being given back: %w", a, context.Cause(ctx))
		}
	}
}

// beginClaim counts a claim in: until endClaim, what it may get is not given back as nobody's.
func (f *Fabric) beginClaim(ctx context.Context, a actors.Address) error {
	return f.onceGiven(ctx, a, func() { f.claims[a]++ })
}

func (f *Fabric) endClaim(a actors.Address) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.claims[a]--; f.claims[a] == 0 {
		delete(f.claims, a)
	}
}

// repent gives back what a claim may have got whose answer nobody waits for any more. The same
// request may have come again meanwhile: then it is that one's.
func (f *Fabric) repent(a actors.Address, request string) {
	f.spawn(func() {
		ctx, cancel := context.WithTimeout(f.life, repentWithin)
		defer cancel()
		for next := firstPause; ; next = min(2*next, lastPause) {
			if f.Refresh(ctx) == nil && f.settle(a, request) {
				return
			}
			if !pause.For(ctx, next) {
				return // the session's end gives it back, or who wants it next
			}
		}
	})
}

// settle gives back what a request got and nobody has; false: a claim of the name is under way, and it
// has to be seen what comes of it.
func (f *Fabric) settle(a actors.Address, request string) bool {
	seat, _ := f.at().Lease().Seat()
	r, known := f.at().Group().Find(cellOf(a))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.claims[a] > 0 {
		return false
	}
	if _, ours := f.owned[a]; known && !ours && r.Claim == request && r.Owner == seat && !f.coming(a, r) {
		f.give(a, r)
	}
	return true
}

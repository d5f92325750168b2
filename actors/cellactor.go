package actors

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pyisolate/pyisolate/cell"
)

// cellActor owns a cell. Its fields are for Receive alone, but for those that say otherwise.
type cellActor struct {
	system *System
	at     Address
	plan   Plan
	born   time.Time
	leaves context.CancelCauseFunc // of the first start
	gate   *gate
	self   *actor.PID

	state   state
	epoch   uint64
	since   uint64       // the first epoch that means what runs now
	now     *incarnation // the last; nil before the first
	moving  *moving      // while it may come to be elsewhere; nil otherwise
	pending []*request   // what came before the cell did, that comes from elsewhere
	why     string       // it ended, or is quarantined
	err     error        // that it ended with
	wanted  bool         // its end is: it is not started again
	barred  string       // why it was quarantined by request, and so is not started again; or ""
	ends    []time.Time
	timer   *time.Timer
	until   time.Time // the place of one that moved is kept so long at the most

	seen  seen        // safe for all
	lanes [lines]lane // safe for all
	// altering are what changes the cell beside its lines, and came before it was to move.
	altering sync.WaitGroup
	moved    atomic.Pointer[Moved] // where it is, when it is away
	gone     chan struct{}
	idle     atomic.Bool // it has ended or moved, and only keeps its name
	named    atomic.Bool // it has a name
}

// incarnation is a cell in its epoch, which a move that comes to nothing raises.
type incarnation struct {
	cell  cell.Cell
	epoch atomic.Uint64
}

type state uint8

const (
	starting state = iota
	running
	restarting
	ended
	quarantined
	away
)

// What an actor is told beside requests.
type (
	// begun: an incarnation runs, or could not be started.
	begun struct {
		epoch uint64
		cell  cell.Cell
		err   error
	}
	// over: an incarnation has ended.
	over struct{ cell cell.Cell }
	// again: the pause before the next start is over.
	again struct{ epoch uint64 }
	// expired: it was kept quarantined for long enough.
	expired struct{ epoch uint64 }
	// leave: nobody needs the name any more; of epoch 0, whatever there is by now.
	leave struct{ epoch uint64 }
)

// IgnoreDeadLetterLogging: that the actor has ended meanwhile is in order.
func (*begun) IgnoreDeadLetterLogging()   {}
func (*over) IgnoreDeadLetterLogging()    {}
func (*again) IgnoreDeadLetterLogging()   {}
func (*expired) IgnoreDeadLetterLogging() {}
func (*leave) IgnoreDeadLetterLogging()   {}

// Receive is called by the mailbox, one message at a time. It never waits.
func (a *cellActor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *request:
		a.accept(m)
	case *withdrawn:
		a.withdraw(m.of)
	case *begun:
		a.begin(m)
	case *over:
		a.over(m)
	case *settled:
		a.settle(m)
	case *depart:
		a.depart()
	case *again, *expired, *leave:
		a.due(m)
	case *actor.Stopping:
		a.stop()
	case *actor.Stopped:
		close(a.gone)
	}
}

// due does what was to be done after a while, if it still is.
func (a *cellActor) due(message any) {
	switch m := message.(type) {
	case *again:
		if a.is(restarting, m.epoch) {
			a.start()
		}
	case *expired:
		if a.is(quarantined, m.epoch) {
			a.err = nil // it was told
			a.finish(a.why)
		}
	case *leave:
		if m.epoch == a.epoch || m.epoch == 0 {
			a.system.root.Stop(a.self)
		}
	}
}

func (a *cellActor) is(s state, epoch uint64) bool { return a.state == s && a.epoch == epoch }

// accept begins what is asked, or answers why not.
func (a *cellActor) accept(r *request) {
	r.taken.Store(true)
	if a.arriving(r.env.Body) {
		a.pending = append(a.pending, r) // in order, before what comes later
		return
	}
	line := r.env.Body.line()
	known := line < lines && r.env.ID != (ID{}) && (!r.env.news || a.arrived())
	if known && a.seen.repeats(r, time.Now()) { // also when it could not be begun now
		return
	}
	if err := a.refuse(r); err != nil {
		r.fail(a.epoch, err)
		return
	}
	if a.note(r.env.Body) {
		r.answer(Reply{Epoch: a.epoch})
		return
	}
	switch i := a.now; {
	case line == moves:
		a.move(r, i)
	case line >= lines:
		a.aside(r, i)
	default:
		if known {
			a.seen.begin(r.env.ID)
		}
		a.lanes[line].add(func() { a.do(r, i) }, r)
	}
}

// withdraw is for a request whose time is over. What was not begun never is, and it does not wait any more: it
// would take room for which nobody has credit.
func (a *cellActor) withdraw(r *request) {
	line := r.env.Body.line()
	switch i := slices.Index(a.pending, r); {
	case i >= 0:
		a.pending = slices.Delete(a.pending, i, i+1)
		r.fail(a.epoch, r.late())
	case line < lines && a.lanes[line].drop(r):
		a.do(r, a.now) // which finds it late
	case a.seen.leave(r):
		r.fail(a.epoch, cell.Errorf(cell.UnknownOutcome, "what it repeats has not been answered; it may have been done"))
	}
}

// note takes note of what is to come of the cell. It reports whether that is all there is to do.
func (a *cellActor) note(b Body) bool {
	switch b := b.(type) {
	case Kill:
		a.giveUp(cmp.Or(b.Reason, "it was killed"))
	case Close:
		a.giveUp("it was closed")
	case Quarantine:
		return a.bar(b.Reason)
	}
	return false
}

// aside does what waits for no other, but for a move where it ends or alters the cell.
func (a *cellActor) aside(r *request, i *incarnation) {
	switch m := a.moving; {
	case r.env.Body.line() != ends:
		a.system.working.Go(func() { a.do(r, i) })
	case m != nil:
		a.system.working.Go(func() { a.after(m, r, i) })
	default:
		a.altering.Add(1)
		a.system.working.Go(func() {
			defer a.altering.Done()
			a.do(r, i)
		})
	}
}

// refuse says why nothing is begun, or nil.
func (a *cellActor) refuse(r *request) error {
	if err := r.late(); err != nil {
		return err
	}
	if r.env.Life != "" && r.env.Life != a.plan.Life {
		a.system.Dead(r.env, StaleLife)
		return cell.Errorf(cell.CellGone, "the cell that it was for has ended; another is named %s now", a.at)
	}
	if a.state == away {
		return nil // it is judged there
	}
	if e := r.env.Epoch; e != 0 && (e < a.since || e > a.epoch) {
		a.system.Dead(r.env, StaleEpoch)
		return cell.Errorf(cell.CellGone, "it was for incarnation %d of cell %s, which is at %d", r.env.Epoch, a.at, a.epoch)
	}
	switch r.env.Body.(type) {
	case Kill, Close:
		return nil
	}
	switch {
	case a.now == nil:
		return cell.Errorf(cell.Busy, "cell %s is being started; try again", a.at)
	case r.env.Body.line() == moves:
		return a.cannotMove()
	case r.env.Body.line() >= lines:
		return nil
	case a.state == restarting:
		return cell.Errorf(cell.Busy, "cell %s is being started again, for %s; try again", a.at, a.why)
	case a.state == quarantined:
		return cell.Errorf(cell.CellGone, "cell %s is quarantined: %s", a.at, a.why)
	}
	return nil
}

// do is for any goroutine.
func (a *cellActor) do(r *request, i *incarnation) {
	reply, begun := a.perform(r, i)
	if r.env.ID != (ID{}) && r.env.Body.line() < lines {
		a.remember(r, reply, begun)
	}
	if _, ends := r.env.Body.(Close); ends && reply.Err == nil {
		a.tell(&leave{})
		<-a.gone // then the name is free
	}
	r.answer(reply)
}

// perform has the cell do it, where it is. begun says that it is not to be done again.
func (a *cellActor) perform(r *request, i *incarnation) (reply Reply, begun bool) {
	if i != nil {
		reply.Epoch = i.epoch.Load()
	}
	if reply.Err = r.late(); reply.Err != nil {
		return reply, false
	}
	if to := a.moved.Load(); to != nil {
		return a.forward(r, to)
	}
	if i == nil {
		return reply, true
	}
	epoch := reply.Epoch
	ctx, done := a.system.observe(r, epoch)
	reply = perform(ctx, i.cell, epoch, r.env.Body)
	done(reply)
	if to := a.moved.Load(); to != nil && r.env.Body.line() >= lines { // it was closed here meanwhile
		return a.forwardLate(r, to, reply)
	}
	reply.Epoch = epoch
	_, posts := r.env.Body.(Post)
	return reply, !posts || !errors.Is(reply.Err, cell.Busy)
}

// remember is for any goroutine. What was not begun, or what the inbox had no room for, is not
// remembered: who asks for it again may have it done, and so may those that did so meanwhile.
func (a *cellActor) remember(r *request, reply Reply, begun bool) {
	if begun {
		a.seen.answered(r.env.ID, reply, time.Now())
		return
	}
	for _, w := range a.seen.undone(r.env.ID) {
		w.taken.Store(false)
		a.tell(w)
		select {
		case <-a.gone: // and nobody takes it
			w.fail(0, w.ended())
		default:
		}
	}
}

// tell is for any goroutine.
func (a *cellActor) tell(m any) { a.system.root.Send(a.self, m) }

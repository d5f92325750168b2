package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	gate   *gate
	self   *actor.PID

	state  state
	epoch  uint64
	cell   cell.Cell // the last incarnation; nil before the first
	why    string    // it ended, or is quarantined
	err    error     // that it ended with
	wanted bool      // its end is: it is not started again
	barred string    // why it was quarantined by request, and so is not started again; or ""
	ends   []time.Time
	timer  *time.Timer

	seen  seen        // safe for all
	lanes [lines]lane // safe for all
	gone  chan struct{}
	idle  atomic.Bool // it has ended, and only keeps its name
	named atomic.Bool // it has a name
}

type state uint8

const (
	starting state = iota
	running
	restarting
	ended
	quarantined
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
	over struct{ epoch uint64 }
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
	case *begun:
		a.begin(m)
	case *over:
		if a.is(running, m.epoch) {
			a.ended(a.cell.Err())
		}
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
			c.Stop(a.self)
		}
	case *actor.Stopping:
		a.stop()
	case *actor.Stopped:
		close(a.gone)
	}
}

func (a *cellActor) is(s state, epoch uint64) bool { return a.state == s && a.epoch == epoch }

// accept begins what is asked, or answers why not.
func (a *cellActor) accept(r *request) {
	r.taken.Store(true)
	line := r.env.Body.line()
	known := line < lines && r.env.ID != (ID{})
	if known && a.seen.repeats(r, time.Now()) { // also when it could not be begun now
		return
	}
	if err := a.refuse(r); err != nil {
		r.fail(a.epoch, err)
		return
	}
	switch b := r.env.Body.(type) {
	case Kill:
		a.giveUp(cmp.Or(b.Reason, "it was killed"))
	case Close:
		a.giveUp("it was closed")
	case Quarantine:
		if a.bar(b.Reason) {
			r.answer(Reply{Epoch: a.epoch})
			return
		}
	}
	c, epoch := a.cell, a.epoch
	if line >= lines {
		a.system.working.Go(func() { a.do(r, c, epoch) })
		return
	}
	if known {
		a.seen.begin(r.env.ID)
	}
	a.lanes[line].add(func() { a.do(r, c, epoch) }, r.handOver)
}

// refuse says why nothing is begun, or nil.
func (a *cellActor) refuse(r *request) error {
	if err := r.late(); err != nil {
		return err
	}
	if r.env.Life != "" && r.env.Life != a.plan.Life {
		a.system.Dead(r.env, "stale life")
		return cell.Errorf(cell.CellGone, "the cell that it was for has ended; another is named %s now", a.at)
	}
	if r.env.Epoch != 0 && r.env.Epoch != a.epoch {
		a.system.Dead(r.env, "stale epoch")
		return cell.Errorf(cell.CellGone, "it was for incarnation %d of cell %s, which is at %d", r.env.Epoch, a.at, a.epoch)
	}
	switch r.env.Body.(type) {
	case Kill, Close:
		return nil
	}
	switch {
	case a.cell == nil:
		return cell.Errorf(cell.Busy, "cell %s is being started; try again", a.at)
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
func (a *cellActor) do(r *request, c cell.Cell, epoch uint64) {
	var reply Reply
	late := r.late()
	switch {
	case late != nil:
		reply.Err = late
	case c != nil:
		ctx, done := a.system.observe(r, epoch)
		reply = perform(ctx, c, epoch, r.env.Body)
		done(reply)
	}
	reply.Epoch = epoch
	if r.env.ID != (ID{}) && r.env.Body.line() < lines {
		_, posts := r.env.Body.(Post)
		a.remember(r, reply, late == nil && (!posts || !errors.Is(reply.Err, cell.Busy)))
	}
	if _, ends := r.env.Body.(Close); ends && reply.Err == nil {
		a.tell(&leave{})
		<-a.gone // then the name is free
	}
	r.answer(reply)
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
			w.fail(0, cell.Errorf(cell.CellGone, "cell %s has ended", a.at))
		default:
		}
	}
}

// tell is for any goroutine.
func (a *cellActor) tell(m any) { a.system.root.Send(a.self, m) }

// ---- life ---------------------------------------------------------------------------------------

// start makes the next incarnation, in a goroutine.
func (a *cellActor) start() {
	a.state = starting
	last := a.epoch
	a.system.working.Go(func() {
		c, epoch, err := a.plan.start(a.system.life, last)
		a.tell(&begun{epoch, c, err})
		if err == nil {
			a.watch(c, epoch)
		}
	})
}

// watch tells of the end of an incarnation, or ends it with its actor.
func (a *cellActor) watch(c cell.Cell, epoch uint64) {
	select {
	case <-c.Done():
		a.tell(&over{epoch})
		return
	case <-a.gone:
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.system.options.CloseTimeout)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		a.system.options.Logger.Warn("close a cell", "cell", a.at.String(), "error", err)
	}
}

func (a *cellActor) begin(m *begun) {
	a.epoch = m.epoch
	if m.err != nil {
		a.ended(fmt.Errorf("start it: %w", m.err))
		return
	}
	a.cell = m.cell
	switch { // meanwhile it was asked to end, or to run nothing more
	case a.wanted:
		m.cell.Kill("closed while it was being started")
	case a.barred != "":
		m.cell.Kill("quarantined while it was being started: " + a.barred)
	}
	a.state, a.why, a.err = running, "", nil
	a.system.happened(Started, a, "")
}

// ended decides what comes after an incarnation.
func (a *cellActor) ended(err error) {
	a.err, a.why = err, "it was closed"
	if err != nil {
		a.why = err.Error()
	}
	restart := a.plan.Restart
	switch {
	case a.wanted || err == nil || restart.When == Never:
		a.finish(a.why)
		return
	case a.barred != "":
		a.hold(a.barred)
		return
	}
	now := time.Now()
	a.ends = append(a.ends, now)
	for now.Sub(a.ends[0]) > restart.Within {
		a.ends = a.ends[1:]
	}
	if len(a.ends) > restart.Max {
		a.hold(fmt.Sprintf("it ended %d times within %s, at last: %s", len(a.ends), restart.Within, a.why))
		return
	}
	a.state = restarting
	a.system.happened(Restarting, a, a.why)
	a.later(restart.pause(len(a.ends)), &again{a.epoch})
}

// finish makes the end final.
func (a *cellActor) finish(why string) {
	a.state, a.why = ended, why
	a.idle.Store(true)
	a.system.happened(Ended, a, why)
	a.later(a.system.options.Linger, &leave{a.epoch})
}

// hold keeps a cell that has ended quarantined, for a while.
func (a *cellActor) hold(why string) {
	a.state, a.why = quarantined, why
	a.system.happened(Quarantined, a, why)
	a.later(a.system.options.Hold, &expired{a.epoch})
}

// bar keeps a cell that is quarantined from being started again. It reports whether that is
// all there is to do, because no incarnation runs.
func (a *cellActor) bar(why string) bool {
	switch a.state {
	case starting, restarting, running:
		a.barred = cmp.Or(why, "it was quarantined")
	}
	switch a.state {
	case restarting:
		a.hold(a.barred)
		return true
	case starting, quarantined: // begin kills what comes
		return true
	}
	return false
}

// giveUp keeps it from being started again.
func (a *cellActor) giveUp(why string) {
	a.wanted = true
	if a.state == restarting || a.state == quarantined {
		a.err = nil
		a.finish(why)
	}
}

func (a *cellActor) later(d time.Duration, m any) {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.timer = time.AfterFunc(d, func() { a.tell(m) })
}

// stop gives up the name. Who watches the cell ends it.
func (a *cellActor) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	switch a.state {
	case running, restarting, quarantined: // it left before its end was told
		a.state = ended
		a.system.happened(Ended, a, "it was closed")
	}
	a.system.forget(a)
}

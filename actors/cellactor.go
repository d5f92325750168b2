package actors

import (
	"context"
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
	// leave: nobody needs the name any more; of epoch 0, whatever there is by now.
	leave struct{ epoch uint64 }
)

// IgnoreDeadLetterLogging: that the actor has ended meanwhile is in order.
func (*begun) IgnoreDeadLetterLogging() {}
func (*over) IgnoreDeadLetterLogging()  {}
func (*again) IgnoreDeadLetterLogging() {}
func (*leave) IgnoreDeadLetterLogging() {}

// Receive is called by the mailbox, one message at a time. It never waits.
func (a *cellActor) Receive(c actor.Context) {
	switch m := c.Message().(type) {
	case *request:
		a.accept(m)
	case *begun:
		a.begin(m)
	case *over:
		if m.epoch == a.epoch && a.state == running {
			a.ended(a.cell.Err())
		}
	case *again:
		if m.epoch == a.epoch && a.state == restarting {
			a.start()
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

// accept begins what is asked, or answers why not.
func (a *cellActor) accept(r *request) {
	r.taken.Store(true)
	if err := a.refuse(r); err != nil {
		r.fail(a.epoch, err)
		return
	}
	switch r.env.Body.(type) {
	case Kill, Close:
		a.giveUp()
	}
	line, c, epoch := r.env.Body.line(), a.cell, a.epoch
	if line >= lines {
		a.system.working.Go(func() { a.do(r, c, epoch) })
		return
	}
	if r.env.ID == (ID{}) || a.seen.first(r.env.ID, time.Now(), r.answer) {
		a.lanes[line].add(func() { a.do(r, c, epoch) }, r.handOver)
	}
}

// refuse says why nothing is begun, or nil.
func (a *cellActor) refuse(r *request) error {
	if err := r.late(); err != nil {
		return err
	}
	if r.env.Life != "" && r.env.Life != a.plan.Life {
		a.system.dead(r.env, "stale life")
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
	switch err := r.late(); {
	case err != nil:
		reply.Err = err
	case c != nil:
		ctx, done := a.system.observe(r, epoch)
		reply = perform(ctx, c, r.env.Body)
		done(reply)
	}
	reply.Epoch = epoch
	if r.env.ID != (ID{}) && r.env.Body.line() < lines {
		a.seen.answered(r.env.ID, reply)
	}
	if _, ends := r.env.Body.(Close); ends && reply.Err == nil {
		a.tell(&leave{})
		<-a.gone // then the name is free
	}
	r.answer(reply)
}

// tell is for any goroutine.
func (a *cellActor) tell(m any) { a.system.root.Send(a.self, m) }

// ---- life ---------------------------------------------------------------------------------------

// start makes the next incarnation, in a goroutine.
func (a *cellActor) start() {
	a.state = starting
	epoch := a.epoch + 1
	a.system.working.Go(func() {
		c, err := a.plan.start(a.system.life, epoch)
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
	if a.wanted { // meanwhile it was asked to end
		m.cell.Kill("closed while it was being started")
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
	if a.wanted || err == nil || restart.When == Never {
		a.state = ended
		a.idle.Store(true)
		a.system.happened(Ended, a, a.why)
		a.later(a.system.options.Linger, &leave{a.epoch})
		return
	}
	now := time.Now()
	a.ends = append(a.ends, now)
	for now.Sub(a.ends[0]) > restart.Within {
		a.ends = a.ends[1:]
	}
	if len(a.ends) > restart.Max {
		a.why = fmt.Sprintf("it ended %d times within %s, at last: %s", len(a.ends), restart.Within, a.why)
		a.state = quarantined
		a.system.happened(Quarantined, a, a.why)
		return
	}
	a.state = restarting
	a.system.happened(Restarting, a, a.why)
	a.later(restart.pause(len(a.ends)), &again{a.epoch})
}

// giveUp keeps it from being started again.
func (a *cellActor) giveUp() {
	a.wanted = true
	if a.state == restarting {
		a.ended(nil)
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
	if a.state == running || a.state == restarting { // it left before its end was told
		a.state = ended
		a.system.happened(Ended, a, "it was closed")
	}
	a.system.forget(a)
}

package actors

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// start makes the next incarnation, in a goroutine.
func (a *cellActor) start() {
	a.state = starting
	last := a.epoch
	a.system.working.Go(func() {
		c, epoch, err := a.plan.start(a.system.life, last)
		a.tell(&begun{epoch, c, err})
		if err == nil {
			a.watch(c)
		}
	})
}

// watch tells of the end of an incarnation, or ends it with its actor.
func (a *cellActor) watch(c cell.Cell) {
	select {
	case <-c.Done():
		a.tell(&over{c})
		return
	case <-a.gone:
	}
	a.close(c)
}

// close is for any goroutine.
func (a *cellActor) close(c cell.Cell) {
	ctx, cancel := context.WithTimeout(context.Background(), a.system.options.CloseTimeout)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		a.system.options.Logger.Warn("close a cell", "cell", a.at.String(), "error", err)
	}
}

func (a *cellActor) begin(m *begun) {
	first := a.now == nil
	a.epoch, a.since = m.epoch, m.epoch
	if m.err != nil {
		a.ended(fmt.Errorf("start it: %w", m.err))
		return
	}
	a.now = &incarnation{cell: m.cell}
	a.now.epoch.Store(m.epoch)
	if c := a.plan.Carried; c != nil && first {
		a.since = min(cmp.Or(c.Since, m.epoch), m.epoch)
	}
	switch { // meanwhile it was asked to end, or to run nothing more
	case a.wanted:
		m.cell.Kill("closed while it was being started")
	case a.barred != "":
		m.cell.Kill("quarantined while it was being started: " + a.barred)
	}
	a.state, a.why, a.err = running, "", nil
	a.system.happened(Started, a, "")
	pending := a.pending
	a.pending = nil
	for _, r := range pending {
		a.accept(r)
	}
}

// over is told of the end of an incarnation. While it may have gone on elsewhere, nothing comes of it.
func (a *cellActor) over(m *over) {
	switch {
	case a.state != running || a.now.cell != m.cell:
	case a.moving != nil:
		a.moving.ended = true
	default:
		a.ended(m.cell.Err())
	}
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

// stop gives up the name. Who watches the cell ends it; one that is being started for the first time has a name that
// may be agreed on elsewhere after that, which who starts it sees by its context.
func (a *cellActor) stop() {
	a.leaves(errClosed)
	if a.timer != nil {
		a.timer.Stop()
	}
	a.comesNot()
	switch a.state {
	case running, restarting, quarantined: // it left before its end was told
		a.state = ended
		a.system.happened(Ended, a, "it was closed")
	}
	a.system.forget(a)
}

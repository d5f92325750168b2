package host

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// budget watches a cell's processor time. It looks at the clock only when a
// limit could have been reached at the earliest.
type budget struct {
	worker              Worker
	total, window, per  time.Duration
	parallel            time.Duration // processors the cell could use at once
	base                time.Duration // used before the claim
	mu                  *sync.Mutex   // guards last alone
	last                *time.Duration
	timer               *time.Timer
	stopped, background bool

	windowEnd  time.Time
	windowBase time.Duration
}

func newBudget(l cell.Limits, w Worker) budget {
	b := budget{worker: w, mu: new(sync.Mutex), last: new(time.Duration)}
	b.base, _ = w.CPU()
	b.limit(l, 0)
	return b
}

// shortestLook bounds how often the clock is read near a limit.
const shortestLook = 500 * time.Microsecond

// used is the time since the claim; of a worker that is gone, the last known.
func (b *budget) used() time.Duration {
	t, err := b.worker.CPU()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && t-b.base > *b.last {
		*b.last = t - b.base
	}
	return *b.last
}

// carry counts what was used elsewhere, too.
func (b *budget) carry(used time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.base -= used
}

// The rest is called under the guest's mu.

// limit makes l the limits. A window of another length begins now.
func (b *budget) limit(l cell.Limits, used time.Duration) {
	if l.CPUWindow != b.window {
		b.windowEnd, b.windowBase = time.Now().Add(l.CPUWindow), used
	}
	b.total, b.window, b.per = l.CPU, l.CPUWindow, l.CPUPerWindow
	b.parallel = time.Duration(min(1+l.Children, runtime.NumCPU()))
	b.background = l.Children > 0
}

// stop ends all looking.
func (b *budget) stop() {
	b.stopped = true
	b.rest()
	if b.timer != nil {
		b.timer.Stop()
	}
}

// rest is called when no operation runs: threads of the guest may still.
func (b *budget) rest() {
	if b.timer != nil && !b.background {
		b.timer.Stop()
	}
}

// exceeded says what limit used has passed, and else when to look again.
func (b *budget) exceeded(used time.Duration, now time.Time) (*cell.Error, time.Duration) {
	next := time.Duration(1<<63 - 1)
	if b.total > 0 {
		if used >= b.total {
			return cell.Errorf(cell.CPUExceeded, "CPU budget of %s is used up", b.total), 0
		}
		next = (b.total - used) / b.parallel
	}
	if b.window > 0 {
		if !now.Before(b.windowEnd) {
			missed := now.Sub(b.windowEnd)/b.window + 1
			b.windowEnd, b.windowBase = b.windowEnd.Add(missed*b.window), used
		}
		spent := used - b.windowBase
		if spent >= b.per {
			return cell.Errorf(cell.CPUExceeded, "CPU budget of %s per %s is used up; the next window begins in %s",
				b.per, b.window, b.windowEnd.Sub(now).Round(time.Millisecond)), 0
		}
		next = min(next, (b.per-spent)/b.parallel, b.windowEnd.Sub(now))
	}
	return nil, max(next, shortestLook)
}

// watchBudget interrupts what runs when a budget is used up.
func (g *guest) watchBudget() {
	e := g.overBudget()
	g.mu.Lock()
	op := g.current
	g.mu.Unlock()
	if e != nil && op != nil {
		g.interrupt(op, e, g.srv.killGrace)
	}
}

// overBudget says which budget is used up, and has the next look taken.
func (g *guest) overBudget() *cell.Error {
	g.mu.Lock()
	unlimited := g.budget.total == 0 && g.budget.window == 0
	g.mu.Unlock()
	if unlimited {
		return nil
	}
	used := g.budget.used()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.budget.stopped || (g.current == nil && !g.budget.background) {
		return nil
	}
	now := time.Now()
	e, next := g.budget.exceeded(used, now)
	if e != nil {
		next = max(g.budget.windowEnd.Sub(now), 10*time.Millisecond)
	}
	if e != nil && g.budget.total > 0 && used >= g.budget.total { // of the cell's whole life: nothing can run any more
		if g.refusal == nil {
			g.refusal = e
		}
		if g.halted == nil {
			g.subdue(e)
		}
	}
	if g.budget.timer == nil {
		g.budget.timer = time.AfterFunc(next, g.watchBudget)
	} else {
		g.budget.timer.Reset(next)
	}
	return e
}

// subdue is called under mu. It ends a cell in which nothing is to run any more, if threads
// of the guest's use the processor beyond the grace: no operation's end ends those.
func (g *guest) subdue(why *cell.Error) {
	if !g.budget.background {
		return
	}
	g.halted = why
	grace := g.srv.killGrace
	time.AfterFunc(grace, func() { g.observe(why, grace, g.budget.used()) })
}

// restless is the part of the grace that threads which wait, and are woken to look, do not need.
const restless = 10

// observe ends with the cell, and when its threads may go on or are to stop for another reason.
func (g *guest) observe(why *cell.Error, grace, before time.Duration) {
	time.AfterFunc(grace, func() {
		used := g.budget.used()
		g.mu.Lock()
		over := g.budget.stopped || g.halted != why
		g.mu.Unlock()
		switch {
		case over:
		case used-before > grace/restless:
			g.end(cell.Killed, fmt.Sprintf("%v; the guest's threads did not stop within %s", why, grace))
		default:
			g.observe(why, grace, used)
		}
	})
}

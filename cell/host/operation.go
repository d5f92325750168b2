package host

import (
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// maxQueued is how many operations of one cell may wait.
const maxQueued = 256

// pollPatience is how long a runner looks for an answer before it leaves that
// to the drain.
const pollPatience = 20 * time.Microsecond

// operation is an exec or call.
type operation struct {
	id    uint64
	kind  ring.Kind
	flags ring.Flags
	parts [][]byte
	done  chan struct{} // closed when answered

	// Under the guest's mu:
	answered bool
	why      *cell.Error // set when interrupted
	deadline *time.Timer
	wall     *time.Timer
	grace    *time.Timer
}

func execOperation(m *wire.Msg, e *wire.Exec) *operation {
	op := &operation{id: m.Op, kind: ring.InExec, done: make(chan struct{}),
		parts: [][]byte{lengths(len(e.File), int(e.ArgsLen)), []byte(e.File), m.Payload}}
	if e.Stdin {
		op.flags |= ring.Stdin
	}
	if e.Restricted {
		op.flags |= ring.Restricted
	}
	if int64(e.ArgsLen) > int64(len(m.Payload)) {
		return nil
	}
	return op
}

func callOperation(m *wire.Msg, c *wire.Call) *operation {
	if int64(c.ArgsLen) > int64(len(m.Payload)) {
		return nil
	}
	op := &operation{id: m.Op, kind: ring.InCall, done: make(chan struct{})}
	args := int(c.ArgsLen)
	if c.Raw {
		op.flags, args = ring.Raw, len(m.Payload)
	}
	op.parts = [][]byte{lengths(len(c.Target), args, len(m.Payload)-args), []byte(c.Target), m.Payload}
	return op
}

// submit queues an operation, or answers why not.
func (g *guest) submit(m *wire.Msg, op *operation) {
	if op == nil {
		g.srv.refuse(m, cell.Errorf(cell.Invalid, "operation's lengths exceed its payload"))
		return
	}
	g.mu.Lock()
	switch {
	case g.refusal != nil:
		defer g.srv.refuse(m, g.refusal)
	case len(g.queue) >= maxQueued:
		defer g.srv.refuse(m, cell.Errorf(cell.Busy, "%d operations wait for this cell; try again later", maxQueued))
	case len(m.Payload) > g.limits.MessageBytes:
		defer g.srv.refuse(m, cell.Errorf(cell.Invalid, "%d bytes exceed the message limit of %d", len(m.Payload), g.limits.MessageBytes))
	default:
		g.queue = append(g.queue, op)
		if m.DeadlineNs > 0 {
			op.deadline = time.AfterFunc(time.Duration(m.DeadlineNs), func() { g.cancel(op.id, cell.Timeout) })
		}
	}
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// runQueue runs operations one at a time until the cell's end.
func (g *guest) runQueue() {
	for {
		op := g.next()
		if op == nil {
			select {
			case <-g.wake:
				continue
			case <-g.over:
				return
			}
		}
		g.run(op)
	}
}

func (g *guest) next() *operation {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return nil
	}
	op := g.queue[0]
	g.queue[0] = nil
	g.queue = g.queue[1:]
	g.current = op
	if g.limits.Wall > 0 {
		op.wall = time.AfterFunc(g.limits.Wall, func() {
			g.interrupt(op, cell.Errorf(cell.Timeout, "wall time limit of %s passed", g.limits.Wall), g.srv.killGrace)
		})
	}
	return op
}

// run sends one operation and returns when it is answered or the cell is over.
func (g *guest) run(op *operation) {
	if e := g.overBudget(); e != nil { // the cell would not know whom the interrupt is for
		g.fail(op, e)
		return
	}
	if err := g.slot.region.Send(op.kind, op.flags, op.id, op.parts...); err != nil {
		select {
		case <-g.slot.worker.Done(): // the watcher knows better why
		default:
			g.end(cell.Crashed, fmt.Sprintf("send operation: %v", err))
		}
	}
	op.parts = nil
	answered := func() bool {
		select {
		case <-op.done:
			return true
		default:
			return false
		}
	}
	_ = g.slot.region.Poll(pollPatience, answered, g.frame)
	select {
	case <-op.done:
	case <-g.over:
	}
}

// cancel withdraws operation id, waiting or running.
func (g *guest) cancel(id uint64, kind cell.Kind) {
	e := cell.Errorf(kind, "the caller withdrew")
	grace := cancelGrace
	if kind == cell.Timeout {
		e, grace = cell.Errorf(kind, "the deadline passed"), g.srv.killGrace
	}
	g.mu.Lock()
	for i, op := range g.queue {
		if op.id == id {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			g.mu.Unlock()
			g.fail(op, e)
			return
		}
	}
	op := g.current
	g.mu.Unlock()
	if op != nil && op.id == id {
		g.interrupt(op, e, grace)
	}
}

// interrupt asks the guest to end op, and kills the cell when it does not obey.
// The first reason counts, and is what the operation is answered with.
func (g *guest) interrupt(op *operation, why *cell.Error, grace time.Duration) {
	g.mu.Lock()
	if g.current != op || op.answered || op.why != nil {
		g.mu.Unlock()
		return
	}
	op.why = why
	op.grace = time.AfterFunc(grace, func() { g.disobeyed(op, grace) })
	g.outbox.changed.Broadcast() // what the guest still writes may go on credit
	g.mu.Unlock()
	g.slot.worker.Interrupt(op.id, why.Kind)
}

func (g *guest) disobeyed(op *operation, grace time.Duration) {
	g.mu.Lock()
	late := g.current == op && !op.answered
	g.mu.Unlock()
	if late {
		g.end(cell.Killed, fmt.Sprintf("%v; the guest did not stop within %s", op.why, grace))
	}
}

// settle marks op answered; it reports false when it was already.
func (g *guest) settle(op *operation) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if op.answered {
		return false
	}
	op.answered = true
	for _, t := range []*time.Timer{op.deadline, op.wall, op.grace} {
		if t != nil {
			t.Stop()
		}
	}
	if g.current == op {
		g.current = nil
		g.budget.rest()
	}
	close(op.done)
	return true
}

// fail answers op with e, or with why it was interrupted. The answer may leave
// after op.done, never before what the guest posted.
func (g *guest) fail(op *operation, e *cell.Error) {
	if !g.settle(op) {
		return
	}
	if op.why != nil {
		e = &cell.Error{Kind: op.why.Kind, Message: op.why.Message, Type: e.Type, Traceback: e.Traceback}
	}
	_ = g.srv.conn.Send(wire.NewFailed(g.id, op.id, e))
}

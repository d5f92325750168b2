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

// pollPatience is how long the reader looks for an answer before it leaves that
// to the drain.
const pollPatience = 250 * time.Microsecond

// operation is an exec or call.
type operation struct {
	id    uint64
	kind  ring.Kind
	flags ring.Flags
	parts [][]byte
	trace string

	// Under the guest's mu:
	answered bool
	keep     bool // a save that came to its end: the cell stays frozen
	began    time.Time
	why      *cell.Error // set when interrupted
	deadline *time.Timer
	wall     *time.Timer
	grace    *time.Timer
}

func execOperation(m *wire.Msg, e *wire.Exec) *operation {
	op := &operation{id: m.Op, kind: ring.InExec,
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
	op := &operation{id: m.Op, kind: ring.InCall}
	args := int(c.ArgsLen)
	if c.Raw {
		op.flags, args = ring.Raw, len(m.Payload)
	}
	op.parts = [][]byte{lengths(len(c.Target), args, len(m.Payload)-args), []byte(c.Target), m.Payload}
	return op
}

// submit begins an operation or queues it, or answers why not. The operation is
// begun when it reports true.
func (g *guest) submit(m *wire.Msg, op *operation) bool {
	if op == nil {
		g.srv.refuse(m, cell.Errorf(cell.Invalid, "operation's lengths exceed its payload"))
		return false
	}
	if e := g.enqueue(m, op); e != nil {
		g.srv.refuse(m, e)
		return false
	}
	return g.advance() == op
}

func (g *guest) enqueue(m *wire.Msg, op *operation) *cell.Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.refusal != nil:
		return g.refusal
	case len(g.queue) >= maxQueued:
		return cell.Errorf(cell.Busy, "%d operations wait for this cell; try again later", maxQueued)
	case g.queued()+len(m.Payload) > wire.QueueBytes(g.limits):
		return cell.Errorf(cell.Busy, "operations of %d bytes wait for this cell; try again later", g.queued())
	case len(m.Payload) > g.limits.MessageBytes:
		return cell.Errorf(cell.Invalid, "%d bytes exceed the message limit of %d", len(m.Payload), g.limits.MessageBytes)
	}
	if e := g.unfit(op); e != nil {
		return e
	}
	op.trace = m.Trace
	g.queue = append(g.queue, op)
	if m.DeadlineNs > 0 {
		op.deadline = time.AfterFunc(time.Duration(m.DeadlineNs), func() { g.cancel(op.id, cell.Timeout) })
	}
	return nil
}

// queued is, under mu, the bytes of the operations that wait.
func (g *guest) queued() (n int) {
	for _, op := range g.queue {
		for _, p := range op.parts {
			n += len(p)
		}
	}
	return n
}

// advance begins the next operation, if none runs, and returns it. It does not
// wait.
func (g *guest) advance() *operation {
	for {
		op := g.next()
		if op == nil {
			return nil
		}
		if e := g.overBudget(); e != nil { // the cell would not know whom the interrupt is for
			g.fail(op, e)
			continue
		}
		g.put(op)
		if op.kind == ring.InRestore {
			g.srv.send(g.id, op.id, &wire.Control_More{More: &wire.More{Chunks: wire.ChunkWindow}}, nil)
		}
		return op
	}
}

// next makes the first waiting operation the current one.
func (g *guest) next() *operation {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current != nil || len(g.queue) == 0 || g.move.frozen {
		return nil
	}
	op := g.queue[0]
	g.queue[0] = nil
	g.queue = g.queue[1:]
	g.current = op
	g.ran = true
	if op.moves() {
		g.move = move{frozen: true, credit: wire.ChunkWindow}
	}
	g.srv.running.Add(1)
	op.began = time.Now()
	g.boundWall(op, 0)
	return op
}

// put writes op into the ring, beside the caller if that has to wait for room.
func (g *guest) put(op *operation) {
	parts := op.parts
	op.parts = nil
	g.slot.region.SetTrace(op.trace)
	sent, err := g.slot.region.TrySend(op.kind, op.flags, op.id, parts...)
	if sent {
		return
	}
	if err != nil {
		g.unsent(err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.later(func() {
		if err := g.slot.region.Send(op.kind, op.flags, op.id, parts...); err != nil {
			g.unsent(err)
		}
	})
}

// unsent ends a cell whose ring takes nothing any more.
func (g *guest) unsent(err error) {
	select {
	case <-g.slot.worker.Done(): // the watcher knows better why
	default:
		g.end(cell.Crashed, fmt.Sprintf("send operation: %v", err))
	}
}

// run submits an operation and, when no other runs in this host, looks for its
// answer.
func (g *guest) run(m *wire.Msg, op *operation) {
	if g.submit(m, op) && g.srv.running.Load() == 1 {
		g.look(op)
	}
}

// lookFrames is how many frames of one cell the reader handles before it looks after
// the others.
const lookFrames = 64

// look gives op's answer a moment to come, in the calling goroutine. It ends
// before a post would have to wait for credit, which only the reader can bring, and
// when the guest has more to say than the moment is for.
func (g *guest) look(op *operation) {
	seen := -1
	enough := func() bool {
		seen++
		g.mu.Lock()
		defer g.mu.Unlock()
		return op.answered || !g.outbox.open() || seen >= lookFrames
	}
	_ = g.slot.region.Poll(pollPatience, enough, g.frame)
}

const (
	// cancelHaste is how much less than the kill grace a guest has whose caller waits no more.
	cancelHaste = 5
	// SaveLeisure is how much more it has to give up a save. It is not the guest that wanted it, which may be in a
	// copy of much memory, and is to live on; and nothing of its own runs meanwhile but the hooks of its objects.
	SaveLeisure = 10
)

// grace is how long a guest has to give up an operation that is withdrawn.
func (g *guest) grace(op *operation, kind cell.Kind) time.Duration {
	switch {
	case op.kind == ring.InSave:
		return g.srv.killGrace * SaveLeisure
	case kind == cell.Cancelled:
		return g.srv.killGrace / cancelHaste
	}
	return g.srv.killGrace
}

// cancel withdraws operation id, waiting or running.
func (g *guest) cancel(id uint64, kind cell.Kind) {
	e := withdrawn(kind)
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
		g.interrupt(op, e, g.grace(op, kind))
	}
}

// interrupt asks the guest to end op, and kills the cell when it does not obey.
// The first reason counts, and is what the operation is answered with. The worker is told under mu: it
// keeps one word for what is to end, the last.
func (g *guest) interrupt(op *operation, why *cell.Error, grace time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current != op || op.answered || op.why != nil {
		return
	}
	op.why = why
	op.grace = time.AfterFunc(grace, func() { g.disobeyed(op, grace) })
	g.outbox.changed.Broadcast() // what the guest still writes may go on credit
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

// settle marks op answered; it reports false when it was already. The caller
// answers it, and then lets the next one begin.
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
		g.inbox.settle()
		if op.moves() && !op.keep {
			g.move = move{}
		}
		g.srv.running.Add(-1)
		g.budget.rest()
	}
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
	if op.kind == ring.InRestore && !op.began.IsZero() { // half a state is none
		g.end(cell.Killed, "a state could not be restored: "+e.Error())
	}
}

package host

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// guest is one cell from claim to end.
type guest struct {
	srv     *server
	id      uint64
	name    string // the cell's ID, as evidence names it
	slot    *slot
	claimOp uint64

	over     chan struct{} // closed when the cell has ended: nothing runs any more
	drained  chan struct{} // closed when the drain is done
	attended atomic.Bool   // somebody sees to the end
	senders  sync.WaitGroup

	mu       sync.Mutex
	limits   cell.Limits
	started  bool     // its goroutines are
	begun    bool     // the cell has answered its claim
	reloads  []func() // that wait for that
	state    cell.State
	reason   string
	refusal  *cell.Error // what later operations are answered with
	halted   *cell.Error // why the guest's threads are to stop; nil: they may go on
	closing  bool        // ended by Close: the worker may leave orderly
	gone     bool        // the worker has ended
	queue    []*operation
	current  *operation
	inbox    inbox
	outbox   outbox
	move     move
	ran      bool // something has been executed or called
	unread   unread
	requests requests
	logs     wire.Records
	budget   budget
	// frameLimit is the largest payload that was ever permitted.
	frameLimit int
	count      cell.Report // the counters only
}

func newGuest(s *server, m *wire.Msg, c *wire.Claim, limits cell.Limits, slot *slot) *guest {
	g := &guest{srv: s, id: m.Cell, name: c.GetId(), limits: limits, slot: slot, claimOp: m.Op,
		over: make(chan struct{}), drained: make(chan struct{}),
		state: cell.Running, requests: requests{asked: map[uint64]int{}}}
	g.inbox.items = limits.QueueItems
	g.inbox.bytes = wire.QueueBytes(limits)
	g.outbox.changed.L = &g.mu
	g.outbox.items, g.outbox.bytes = limits.QueueItems, wire.PostBytes
	g.outbox.debt = wire.Overdraft(limits)
	g.budget = newBudget(limits, slot.worker)
	g.frameLimit = wire.FrameBytes(limits)
	slot.region.LimitFrame(g.frameLimit)
	return g
}

// start has what comes from the cell heard, and its end seen to, even one that has come already.
func (g *guest) start() {
	go g.drain()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started = true
	if g.refusalIsFinal() {
		go g.attend()
	}
	g.slot.worker.WhenDone(g.attend)
}

// attend sees to the cell's end, in whatever way it has come. It is called by whoever brings it
// about: a goroutine that waits for it would be another of each cell.
func (g *guest) attend() {
	if !g.attended.Swap(true) {
		g.watch()
	}
}

// dispatch serves one message. It does not block, but may look for an answer for
// a moment.
func (g *guest) dispatch(m *wire.Msg) {
	switch b := m.Body.(type) {
	case *wire.Control_Exec:
		g.run(m, execOperation(m, b.Exec))
	case *wire.Control_Call:
		g.run(m, callOperation(m, b.Call))
	case *wire.Control_Send:
		g.deliver(m, cell.Value{Type: cell.ContentType(b.Send.Type), Data: m.Payload})
	case *wire.Control_Interrupt:
		g.cancel(m.Op, cell.Kind(b.Interrupt.Kind))
	case *wire.Control_Quarantine:
		g.quarantine(b.Quarantine.Reason)
	case *wire.Control_Inspect:
		g.srv.send(g.id, m.Op, &wire.Control_Report{Report: wire.FromReport(g.report())}, nil)
	case *wire.Control_Kill:
		g.end(cell.Killed, b.Kill.Reason)
	case *wire.Control_Close:
		g.close()
	case *wire.Control_Answer:
		g.answerRequest(m, b.Answer)
	case *wire.Control_Reload:
		g.reload(m, b.Reload)
	case *wire.Control_Credit:
		g.credit(int(b.Credit.Items), int(b.Credit.Bytes))
	default:
		g.dispatchMove(m)
	}
}

// quarantine stops all that runs for the guest and refuses what comes later.
func (g *guest) quarantine(reason string) {
	g.mu.Lock()
	if g.state != cell.Running {
		g.mu.Unlock()
		return
	}
	e := cell.Errorf(cell.CellGone, "quarantined: %s", reason)
	g.state, g.reason, g.refusal = cell.Quarantined, reason, e
	waiting := g.queue
	g.queue = nil
	current := g.current
	g.subdue(e)
	g.mu.Unlock()
	for _, op := range waiting {
		g.fail(op, e)
	}
	if current != nil {
		g.interrupt(current, e, g.srv.killGrace)
	}
	g.slot.worker.Interrupt(ring.All, e.Kind)
}

// close ends the cell orderly; the watcher kills it when it does not leave.
func (g *guest) close() {
	g.mu.Lock()
	g.closing = true
	current := g.current
	if current != nil && current.why == nil { // it may end of the interrupt before the cell has ended
		current.why = cell.Errorf(cell.CellGone, "closed")
	}
	g.mu.Unlock()
	if current != nil {
		g.slot.worker.Interrupt(current.id, cell.Cancelled)
	}
	g.end(cell.Closed, "closed")
}

// end is the one way a cell ends; the first call decides why. It does not wait.
func (g *guest) end(state cell.State, reason string) {
	g.mu.Lock()
	if g.refusalIsFinal() {
		g.mu.Unlock()
		return
	}
	if state != cell.Closed {
		g.closing = false
	}
	g.state, g.reason = state, reason
	g.refusal = cell.Errorf(cell.CellGone, "%s: %s", state, reason)
	if state == cell.Closed {
		g.refusal = cell.Errorf(cell.CellGone, "closed")
	}
	failed := g.queue
	g.queue = nil
	if g.current != nil {
		failed = append(failed, g.current)
	}
	close(g.over)
	g.budget.stop()
	g.inbox.stop()
	g.outbox.changed.Broadcast()
	refusal := g.refusal
	if g.started {
		go g.attend()
	}
	g.mu.Unlock()
	for _, op := range failed {
		g.fail(op, refusal)
	}
}

// refusalIsFinal reports, under mu, whether the cell has ended already.
func (g *guest) refusalIsFinal() bool {
	select {
	case <-g.over:
		return true
	default:
		return false
	}
}

// watch cleans up after the cell's end, ours or its own.
func (g *guest) watch() {
	select {
	case <-g.slot.worker.Done():
	case <-g.over:
		g.dismiss()
	}
	stuck := !g.awaitWorker()
	if stuck {
		g.slot.region.Close()
	} else {
		g.mu.Lock()
		g.gone = true
		g.outbox.changed.Broadcast()
		g.mu.Unlock()
		g.slot.region.Hangup()
	}
	<-g.drained
	if !stuck {
		g.end(cell.Crashed, endReason(g.slot.worker.Err()))
	}
	g.slot.region.Close()
	g.senders.Wait()
	report := g.report()
	if !stuck {
		_ = g.slot.region.Free()
	}
	ended := &wire.Ended{State: string(report.State), Reason: wire.Text(report.Reason, 4096), Report: wire.FromReport(report)}
	if stuck {
		g.srv.retire(fmt.Sprintf("cell %s does not stop and runs on in native code", g.name))
	}
	g.srv.send(g.id, 0, &wire.Control_Ended{Ended: ended}, nil)
	g.srv.forget(g)
}

func endReason(err error) string {
	if err == nil {
		return "the cell's interpreter ended by itself"
	}
	return err.Error()
}

// dismiss asks a closed cell to leave, and kills one that does not or that was
// not closed orderly.
func (g *guest) dismiss() {
	g.mu.Lock()
	orderly := g.closing
	g.mu.Unlock()
	if orderly {
		g.senders.Go(func() { _ = g.slot.region.Send(ring.InClose, 0, 0) })
		if awaitEnd(g.slot.worker, g.srv.killGrace) {
			return
		}
	}
	g.slot.worker.Kill()
	g.slot.region.Close()
}

// awaitWorker reports whether the worker ended; false means it is stuck.
func (g *guest) awaitWorker() bool {
	for !awaitEnd(g.slot.worker, stuckAfter) {
		if g.slot.worker.Stuck() {
			return false
		}
	}
	return true
}

// later runs, under mu, a send that may block in a goroutine of the cell's, which
// ends with the region.
func (g *guest) later(send func()) {
	if !g.refusalIsFinal() { // after that the watcher waits for senders
		g.senders.Go(send)
	}
}

// report is the cell as seen from here.
func (g *guest) report() cell.Report {
	cpu := g.budget.used()
	account := g.slot.region.Account()
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.count
	r.State, r.Reason, r.Busy = g.state, g.reason, g.current != nil
	r.CPU, r.Memory, r.MemoryPeak = cpu, account.MemUsed, account.MemPeak
	r.Namespaces = g.namespaces()
	r.Start, r.UID = g.origin()
	return r
}

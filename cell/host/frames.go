package host

import (
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// errEnded ends the drain: the cell said OutEnded.
var errEnded = errors.New("host: the cell ended")

// maxName bounds names a guest gives: levels, metrics, capabilities, actions.
const maxName = 1024

// drain takes the cell's frames until there are no more.
func (g *guest) drain() {
	defer close(g.drained)
	err := g.slot.region.Serve(g.frame)
	switch {
	case errors.Is(err, errEnded):
		awaitEnd(g.slot.worker, stuckAfter) // then it has said why
		var why error
		if ended(g.slot.worker) {
			why = g.slot.worker.Err()
		}
		g.end(cell.Crashed, endReason(why))
	case !errors.Is(err, ring.ErrClosed):
		g.end(cell.Crashed, err.Error())
	}
}

// frame handles one frame of the cell. An error is a violation and ends it. What
// it queues for the node leaves when no other frame waits.
func (g *guest) frame(f ring.Frame) error {
	err := g.handle(f)
	if err != nil || !g.slot.region.More() {
		_ = g.srv.conn.Flush()
	}
	return err
}

func (g *guest) handle(f ring.Frame) error {
	switch f.Kind {
	case ring.OutResult:
		return g.result(f)
	case ring.OutError:
		return g.failure(f)
	case ring.OutPost:
		return g.post(f)
	case ring.OutLog:
		return g.log(f)
	case ring.OutMetric:
		return g.metric(f)
	case ring.OutRecv:
		return g.receive(f)
	case ring.OutRequest:
		return g.request(f)
	case ring.OutDenial:
		return g.denial(f)
	case ring.OutChunk:
		return g.chunk(f)
	case ring.OutMore:
		return g.askState(f)
	case ring.OutEnded:
		return errEnded
	}
	return fmt.Errorf("%w: frame of kind %d out of place", ring.ErrProtocol, f.Kind)
}

// running returns the operation id answers. A cell that has ended may answer
// what has been answered for it.
func (g *guest) running(id uint64) (*operation, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current != nil && g.current.id == id {
		return g.current, nil
	}
	if g.refusalIsFinal() {
		return nil, nil
	}
	return nil, fmt.Errorf("%w: answer to operation %d, which does not run", ring.ErrProtocol, id)
}

func (g *guest) result(f ring.Frame) error {
	if f.ID == g.claimOp {
		g.begin()
		return nil
	}
	op, err := g.running(f.ID)
	if op == nil {
		return err
	}
	if op.kind == ring.InSave {
		g.saved(op, f)
		g.advance()
		return nil
	}
	if op.kind == ring.InRestore {
		g.resume()
	}
	if !g.produce(len(f.Payload)) {
		g.mu.Lock()
		e := g.outputExceeded()
		g.mu.Unlock()
		g.fail(op, e)
		g.advance()
		return nil
	}
	g.mu.Lock()
	interrupted := op.why != nil
	g.mu.Unlock()
	if interrupted || !g.settle(op) {
		g.fail(op, &cell.Error{})
		g.advance()
		return nil
	}
	g.srv.send(g.id, op.id, &wire.Control_Result{Result: &wire.Result{Type: uint32(contentType(f.Flags))}}, f.Payload)
	g.advance()
	return nil
}

func (g *guest) failure(f ring.Frame) error {
	e, err := parseError(f.Payload)
	if err != nil {
		return err
	}
	if f.ID == g.claimOp {
		g.end(cell.Crashed, "claim: "+e.Error())
		return nil
	}
	op, err := g.running(f.ID)
	if op == nil {
		return err
	}
	if f.Flags&ring.None != 0 {
		g.recall()
	}
	g.fail(op, e)
	g.advance()
	return nil
}

func (g *guest) log(f ring.Frame) error {
	parts, err := split(f.Payload, 0, 2)
	if err != nil {
		return err
	}
	if !g.produce(len(f.Payload)) {
		return nil
	}
	g.mu.Lock()
	g.count.Logs++
	pass := g.logs.Take(time.Now(), len(f.Payload), 1)
	if !pass {
		g.count.LogsLost++
	}
	lost := g.count.LogsLost
	g.mu.Unlock()
	if !pass {
		return nil
	}
	g.srv.queue(g.id, &wire.Control_Log{Log: &wire.Log{Level: wire.Text(string(parts[0]), maxName),
		MessageLen: uint32(len(parts[1])), Lost: lost}}, f.Payload[8+len(parts[0]):])
	return nil
}

func (g *guest) metric(f ring.Frame) error {
	value, err := parseFloat(f.Payload)
	if err != nil {
		return err
	}
	parts, err := split(f.Payload, 8, 1)
	if err != nil {
		return err
	}
	if len(parts[0]) > maxName {
		return fmt.Errorf("%w: metric name of %d bytes", ring.ErrProtocol, len(parts[0]))
	}
	if !g.produce(len(f.Payload)) {
		return nil
	}
	g.mu.Lock()
	g.count.Metrics++
	pass := g.logs.Take(time.Now(), len(f.Payload), 1)
	if !pass {
		g.count.LogsLost++
	}
	g.mu.Unlock()
	if pass {
		g.srv.queue(g.id, &wire.Control_Metric{Metric: &wire.Metric{Value: value, NameLen: uint32(len(parts[0]))}}, f.Payload[12:])
	}
	return nil
}

func (g *guest) denial(f ring.Frame) error {
	parts, err := split(f.Payload, 0, 1)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.count.Denials++
	pass := g.logs.Take(time.Now(), len(f.Payload), 1)
	g.mu.Unlock()
	if !pass {
		return nil // counted; a flood of refusals is no reason to flood the node
	}
	d := wire.FromDenial(&cell.Denial{Cell: g.name, Capability: string(parts[0]), Action: string(parts[1]), At: time.Now()})
	g.srv.send(g.id, 0, &wire.Control_Denial{Denial: d}, nil)
	return nil
}

// produce charges n bytes of output; false means the limit is passed and the
// guest is being interrupted.
func (g *guest) produce(n int) bool {
	g.mu.Lock()
	g.count.Output += int64(n)
	exceeded := g.limits.Output > 0 && g.count.Output > g.limits.Output
	var e *cell.Error
	if exceeded {
		e = g.outputExceeded()
	}
	if exceeded && g.refusal == nil {
		g.refusal = e
	}
	op := g.current
	g.mu.Unlock()
	if exceeded && op != nil {
		g.interrupt(op, e, g.srv.killGrace)
	}
	return !exceeded
}

// outputExceeded is called under mu.
func (g *guest) outputExceeded() *cell.Error {
	return cell.Errorf(cell.OutputExceeded, "the cell's output limit of %d bytes is used up", g.limits.Output)
}

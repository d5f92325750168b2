package launch

import (
	"context"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/wire"
)

type (
	traceKey  struct{}
	sourceKey struct{} // for the ID of a source
)

// WithTrace has operations under ctx carry a trace context to the host.
func WithTrace(ctx context.Context, trace string) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// ask sends one message and waits for its answer. When ctx ends the guest is
// interrupted, and the host has KillGrace and AnswerGrace to say so; a host that
// does not is killed. limit is in what time it must answer by itself, 0 for any; it is asked
// again when that has passed.
func (c *handle) ask(ctx context.Context, limit func() time.Duration, body wire.Body, payload []byte) (*wire.Msg, error) {
	_, exec := body.(*wire.Control_Exec)
	_, call := body.(*wire.Control_Call)
	p := &pending{answer: make(chan *wire.Msg, 1), ctx: ctx, exec: exec, runs: exec || call}
	m, err := c.prepare(ctx, p, body, payload)
	if err != nil {
		return nil, err
	}
	turns := c.host.turns
	turns.callers.Add(1)
	defer turns.callers.Add(-1)
	if err := c.host.proc.conn.SendWithin(ctx, m); err != nil {
		return nil, c.unsent(ctx, m.Op, err)
	}
	c.queued(p)
	turns.look(func() bool { return len(p.answer) > 0 }, c.host.take)
	return c.await(ctx, m.Op, p, limit)
}

// prepare registers p, and makes the message that it will be the answer to.
func (c *handle) prepare(ctx context.Context, p *pending, body wire.Body, payload []byte) (*wire.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, cell.Errorf(contextKind(ctx), "before it began: %v", err)
	}
	op, err := c.register(p)
	if err != nil {
		return nil, err
	}
	m := wire.New(c.wireID, op, body, payload)
	if deadline, ok := ctx.Deadline(); ok {
		m.DeadlineNs = max(1, int64(time.Until(deadline)))
	}
	m.Trace, _ = ctx.Value(traceKey{}).(string)
	return m, nil
}

func (c *handle) register(p *pending) (uint64, error) {
	if err := c.gone(); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return 0, cell.Errorf(cell.CellGone, "%s: %s", c.last.State, c.last.Reason)
	default:
	}
	c.nextOp++
	c.pending[c.nextOp] = p
	return c.nextOp, nil
}

// unsent forgets an operation that could not leave: it is too large, ctx ended while too much
// waited for the host, or the host is dead, which its reader will know better.
func (c *handle) unsent(ctx context.Context, op uint64, err error) error {
	c.mu.Lock()
	delete(c.pending, op)
	c.mu.Unlock()
	if tooLarge(err) {
		return cell.Errorf(cell.Invalid, "%v", err)
	}
	select {
	case <-c.host.gone:
		if gone := c.gone(); gone != nil {
			return gone
		}
		return cell.Errorf(cell.CellGone, "%v", err)
	case <-ctx.Done():
		return cell.Errorf(contextKind(ctx), "before it was sent: %v", err)
	}
}

// The limits of ask.

func (c *handle) atOnce() time.Duration { return c.launcher.config.AnswerGrace }
func unbounded() time.Duration          { return 0 }

// wallNow is the limit of now, with the time that the cell was frozen.
func (c *handle) wallNow() time.Duration {
	wall := time.Duration(c.wall.Load())
	if wall == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return wall + c.freeze.duration()
}

func (c *handle) await(ctx context.Context, op uint64, p *pending, limit func() time.Duration) (*wire.Msg, error) {
	began := time.Now()
	grace := c.launcher.config.KillGrace + c.launcher.config.AnswerGrace
	var overdue <-chan time.Time
	if l := limit(); l > 0 {
		t := time.NewTimer(l + grace)
		defer t.Stop()
		overdue = t.C
	}
	withdrawn := ctx.Done()
	for {
		select {
		case m, ok := <-p.answer:
			if !ok {
				return nil, c.gone()
			}
			if f := m.GetFailed(); f != nil {
				return nil, wire.ToError(f.Error)
			}
			return m, nil
		case <-withdrawn:
			withdrawn, overdue = nil, nil
			if p.chunks != nil {
				grace += (host.SaveLeisure - 1) * c.launcher.config.KillGrace
			}
			t := time.AfterFunc(grace, c.silent) // it runs, too, while the host does not read this:
			defer t.Stop()
			interrupt := &wire.Interrupt{Kind: uint32(contextKind(ctx))}
			_ = c.host.send(c.wireID, op, &wire.Control_Interrupt{Interrupt: interrupt}, nil)
		case <-overdue:
			overdue = nil
			l := limit()
			left := l + grace - time.Since(c.turn(p, began))
			switch {
			case l > 0 && left <= 0:
				c.silent()
			case l > 0: // it has been raised, or others were served before
				t := time.NewTimer(left)
				defer t.Stop()
				overdue = t.C
			}
		}
	}
}

// queued notes, once an operation has been sent, which others may be before it.
func (c *handle) queued(p *pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.behind = c.nextOp
}

// turn is when an operation that was sent at some time could begin.
func (c *handle) turn(p *pending, sent time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.turn.After(sent) {
		return p.turn
	}
	return sent
}

// silent ends a host that has not answered in time.
func (c *handle) silent() { c.host.kill("did not answer in time") }

// receive handles one message about the cell, on the host's reader.
func (c *handle) receive(m *wire.Msg) {
	if fromGuest(m) {
		if c.isStarting() { // a host that goes on like this has a cell that need not take other rules
			c.host.kill("let a cell speak and has not answered its claim")
			return
		}
		c.proveSeat()
	}
	switch b := m.Body.(type) {
	case *wire.Control_Post:
		c.mu.Lock()
		credited := c.outbox.posted(value(b.Post.Type, m.Payload))
		c.mu.Unlock()
		if !credited {
			c.host.kill("sent more posts than it had credit for")
		}
	case *wire.Control_Log, *wire.Control_Metric, *wire.Control_Denial, *wire.Control_Request:
		c.hear(m)
	case *wire.Control_Chunk, *wire.Control_More:
		c.moved(m)
	case *wire.Control_Ended:
		c.host.forget(c)
		c.end(cell.State(b.Ended.State), b.Ended.Reason, b.Ended.Report)
	default:
		c.answered(m)
	}
}

// fromGuest reports whether m comes from the cell itself, and not from its host.
func fromGuest(m *wire.Msg) bool {
	switch m.Body.(type) {
	case *wire.Control_Post, *wire.Control_Log, *wire.Control_Metric, *wire.Control_Denial, *wire.Control_Request:
		return true
	case *wire.Control_Result:
		return len(m.Payload) > 0 // what the host itself has done has none
	default:
		return false
	}
}

// advance notes, under mu, that those behind an operation which has been answered may begin.
func (c *handle) advance(op uint64, p *pending) {
	if !p.runs {
		return
	}
	for _, next := range c.pending {
		if next.runs && op <= next.behind {
			next.turn = time.Now()
		}
	}
}

func (c *handle) answered(m *wire.Msg) {
	c.mu.Lock()
	p := c.pending[m.Op]
	delete(c.pending, m.Op)
	if f := m.GetFailed(); f != nil && p != nil {
		c.outbox.failed(p, wire.ToError(f.Error))
	}
	if p != nil {
		p.finish()
		c.advance(m.Op, p)
	}
	c.mu.Unlock()
	switch {
	case p == nil:
	case p.then != nil:
		p.then(m)
	default:
		c.host.turns.answered()
		p.answer <- m
	}
}

package launch

import (
	"context"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

func (c *handle) claimBody(unwaited bool, worker uint64) wire.Body {
	s := c.spec
	return &wire.Control_Claim{Claim: &wire.Claim{Id: c.id, Tenant: s.Tenant, Name: s.Name, Backend: string(s.Backend),
		Limits: wire.FromLimits(s.Limits), Unwaited: unwaited, Worker: worker}}
}

// chooseWorker reports whether the host has a worker ready, as far as is known, and which
// it is where workers have seats.
func (c *handle) chooseWorker() (ready bool, worker uint64, err error) {
	if c.host.seats == nil {
		return c.host.takeReady(), 0, nil
	}
	s := c.host.takeSeat()
	if s == nil {
		return false, 0, nil
	}
	if err := c.sit(c.host, s); err != nil {
		c.host.keepSeat(s)
		return false, 0, c.unseated(err)
	}
	return true, s.worker, nil
}

// claimReady claims a cell of which the host has said that it is ready. There is nothing
// to wait for; should the answer be no all the same, it ends the cell.
func (c *handle) claimReady(ctx context.Context, worker uint64) error {
	if err := ctx.Err(); err != nil {
		return cell.Errorf(contextKind(ctx), "before it began: %v", err)
	}
	c.setStarting(true)
	op, err := c.register(&pending{answer: make(chan *wire.Msg, 1), ctx: ctx, then: c.claimAnswered})
	if err != nil {
		return err
	}
	m := wire.New(c.wireID, op, c.claimBody(true, worker), c.ruling.gate)
	if err := c.host.proc.conn.SendWithin(ctx, m); err != nil {
		return c.unsent(ctx, op, err)
	}
	return nil
}

// setStarting notes whether the host owes the answer to a claim that nobody waits for: until then the guest has not begun.
func (c *handle) setStarting(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starting = is
}

func (c *handle) isStarting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.starting
}

func (c *handle) claimAnswered(m *wire.Msg) {
	c.setStarting(false)
	if f := m.GetFailed(); f != nil {
		c.host.forget(c)
		e := wire.ToError(f.Error)
		if e.Kind == cell.Busy && c.gone() == nil { // of a host that retires: the next attempt meets another
			c.mu.Lock()
			c.err = e
			c.mu.Unlock()
		}
		c.end(cell.Crashed, "the host refused the claim: "+e.Error(), nil)
		return
	}
	c.sits()
	c.launcher.claimed(m.GetClaimed())
}

func (c *handle) claim(ctx context.Context) error {
	m, err := c.ask(ctx, unbounded, c.claimBody(false, 0), c.ruling.gate)
	if err != nil {
		_ = c.host.send(c.wireID, 0, &wire.Control_Kill{Kill: &wire.Kill{Reason: "claim withdrawn"}}, nil)
		return err
	}
	c.sits()
	c.launcher.claimed(m.GetClaimed())
	return nil
}

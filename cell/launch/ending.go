package launch

import (
	"context"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// Kill ends the cell now: nobody gets anything from it any more. Done tells when its host has obeyed.
func (c *handle) Kill(reason string) {
	c.finish(cell.Killed, reason)
	c.mustEnd(&wire.Control_Kill{Kill: &wire.Kill{Reason: wire.Text(reason, 4096)}})
}

// Close ends the cell and returns when its resources are given back.
func (c *handle) Close(ctx context.Context) error {
	if c.gone() == nil {
		c.mustEnd(&wire.Control_Close{Close: &wire.Close{}})
	}
	select {
	case <-c.back:
		return nil
	case <-ctx.Done():
		return cell.Errorf(contextKind(ctx), "close: %v", ctx.Err())
	}
}

// mustEnd tells the host to end the cell, and has it killed when it has not within the graces,
// whoever waits for that and for how long. The first call sets the time. It does not wait for
// the host to read.
func (c *handle) mustEnd(how wire.Body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hasReturned() {
		return
	}
	if c.overdue == nil {
		grace := c.launcher.config.KillGrace + c.launcher.config.AnswerGrace
		c.overdue = time.AfterFunc(grace, func() { c.host.kill("did not end a cell in time") })
	}
	go func() { _ = c.host.send(c.wireID, 0, how, nil) }() // a dead host has ended it
}

// Done is closed when nothing of the cell runs any more: of one that is killed, when its host has
// ended it, or is dead itself.
func (c *handle) Done() <-chan struct{} { return c.back }

// returned makes it known that the host has nothing of the cell any more.
func (c *handle) returned() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.back)
	if c.overdue != nil {
		c.overdue.Stop()
	}
}

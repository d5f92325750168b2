package host

import (
	"fmt"
	"sync"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// outbox is the credit the node has given for posts. The drain waits while
// there is none, the ring fills, and the guest's post blocks: that is all of the
// backpressure.
type outbox struct {
	changed      sync.Cond
	items, bytes int
	// debt is how far an interrupted guest may overdraw, so that what is in the
	// ring before its last answer does not hold the answer up.
	debt int
}

// open reports whether a post may leave at once.
func (b *outbox) open() bool { return b.items > 0 && b.bytes > 0 }

func (g *guest) credit(items, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outbox.items = min(g.outbox.items+items, g.limits.QueueItems)
	g.outbox.bytes = min(g.outbox.bytes+bytes, wire.PostBytes)
	g.outbox.changed.Broadcast()
}

// post forwards one value when there is credit for it.
func (g *guest) post(f ring.Frame) error {
	if !g.produce(len(f.Payload)) {
		return nil
	}
	g.mu.Lock()
	if g.state == cell.Quarantined {
		g.mu.Unlock()
		return nil
	}
	if !g.outbox.open() {
		g.mu.Unlock()
		_ = g.srv.conn.Flush() // the node gives no credit for what it has not seen
		g.mu.Lock()
	}
	for !g.outbox.open() && !g.hurried() {
		g.outbox.changed.Wait()
	}
	g.outbox.items--
	g.outbox.bytes -= len(f.Payload) + wire.PostCost
	broke := g.outbox.bytes < -g.outbox.debt
	if !broke {
		g.count.Posts++
	}
	g.mu.Unlock()
	if broke {
		return fmt.Errorf("%w: posts go on after an interrupt", ring.ErrProtocol)
	}
	g.srv.queue(g.id, &wire.Control_Post{Post: &wire.Post{Type: uint32(contentType(f.Flags))}}, f.Payload)
	return nil
}

// hurried reports, under mu, whether the guest is on its way out of an
// operation or out of life.
func (g *guest) hurried() bool {
	return g.gone || g.refusalIsFinal() || (g.current != nil && g.current.why != nil)
}

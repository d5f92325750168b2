package actors

import (
	"sync"

	"github.com/pyisolate/pyisolate/cell"
)

// Credit bounds the envelopes of one cell that are not answered yet.
type Credit struct {
	// Count of them. Default 1024.
	Count int
	// Bytes of their bodies, in all. Default 16 MiB. One envelope alone may have more.
	Bytes int
	// Aside are those that wait for nobody, as Recv and Inspect; each has a goroutine. They
	// count for themselves. Default 64.
	Aside int
}

func (c Credit) withDefaults() Credit {
	if c.Count == 0 {
		c.Count = 1024
	}
	if c.Bytes == 0 {
		c.Bytes = 16 << 20
	}
	if c.Aside == 0 {
		c.Aside = 64
	}
	return c
}

// gate lets in what there is credit for.
type gate struct {
	most Credit

	mu                  sync.Mutex
	count, bytes, aside int
}

func newGate(c Credit) *gate { return &gate{most: c.withDefaults()} }

// enter takes credit, to be given back with leave.
func (g *gate) enter(b Body) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.line() == aside {
		if g.aside == g.most.Aside {
			return cell.Errorf(cell.Busy, "%d questions wait for this cell; ask again later", g.aside)
		}
		g.aside++
		return nil
	}
	n := b.size()
	switch {
	case g.count == g.most.Count:
		return cell.Errorf(cell.Busy, "%d messages wait for this cell; send again later", g.count)
	case g.bytes > 0 && g.bytes+n > g.most.Bytes:
		return cell.Errorf(cell.Busy, "messages of %d bytes wait for this cell; send again later", g.bytes)
	}
	g.count++
	g.bytes += n
	return nil
}

func (g *gate) leave(b Body) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.line() == aside {
		g.aside--
		return
	}
	g.count--
	g.bytes -= b.size()
}

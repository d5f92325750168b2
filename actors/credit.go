package actors

import (
	"sync"

	"github.com/pyisolate/pyisolate/cell"
)

// Credit bounds the envelopes of one cell that are not answered yet. Reload, Quarantine,
// Kill and Close need none: whatever waits for a cell, it can be given less, and be ended.
type Credit struct {
	// Count of Exec, Call and Post. Default 1024.
	Count int
	// Bytes of their bodies, in all. Default 16 MiB. One envelope alone may have more.
	Bytes int
	// Waits are Recv that wait for a post; each has a goroutine. Default 1024.
	Waits int
	// Looks are Inspect; each has a goroutine. Default 64.
	Looks int
}

func (c Credit) withDefaults() Credit {
	for _, f := range []struct {
		field *int
		value int
	}{{&c.Count, 1024}, {&c.Bytes, 16 << 20}, {&c.Waits, 1024}, {&c.Looks, 64}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return c
}

// gate lets in what there is credit for.
type gate struct {
	most Credit

	mu                         sync.Mutex
	count, bytes, waits, looks int
}

func newGate(c Credit) *gate { return &gate{most: c.withDefaults()} }

// enter takes credit, to be given back with leave.
func (g *gate) enter(b Body) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch b.line() {
	case ends, moves:
		return nil
	case waits:
		if g.waits == g.most.Waits {
			return cell.Errorf(cell.Busy, "%d receivers wait for this cell; receive again later", g.waits)
		}
		g.waits++
		return nil
	case looks:
		if g.looks == g.most.Looks {
			return cell.Errorf(cell.Busy, "%d questions wait for this cell; ask again later", g.looks)
		}
		g.looks++
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
	switch b.line() {
	case ends, moves:
	case waits:
		g.waits--
	case looks:
		g.looks--
	default:
		g.count--
		g.bytes -= b.size()
	}
}

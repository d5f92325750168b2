package guard

import (
	"errors"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// ErrClosed: the cell is closed.
var ErrClosed = errors.New("guard: the cell is closed")

// A Cell is a policy that threads are bound to, and what they have used.
type Cell struct {
	guard *Guard
	index uint32
	life  uint32 // tells it from others of its index; never 0
	// guard.mu guards those below.
	rules  *Rules // nil when it has none
	closed bool
}

// Usage is what a cell has done and used in its life. What was refused counts as denied
// only.
type Usage struct {
	// Opens are files and directories opened; of kind LSM.
	Opens uint64
	// Connects are connections, and datagrams that name their receiver.
	Connects uint64
	// Denied are the things refused, by a rule, a quota or a contract.
	Denied uint64
	// Children are threads and processes started.
	Children uint64
	// Sent and Received are bytes of IP packets, with their headers, of the sockets
	// that the cell made. Of what the kernel cuts into packets later only the first
	// headers count. They need a control group.
	Sent, Received uint64
	// CPU is processor time, as of the last tick or switch of each thread. It needs a
	// control group.
	CPU time.Duration
	// Lost are events that were not told, for there were too many.
	Lost uint64
	// Slowed are packets that were dropped, to be sent again, or marked, so that fewer are
	// sent, for the cell was faster than Quotas.Bandwidth.
	Slowed uint64
}

// usage is struct usage.
type usage struct {
	Usage
	sentUntil, receivedUntil uint64 // the programs' own
}

// NewCell makes a cell with a policy.
func (g *Guard) NewCell(p policy.Policy) (*Cell, error) {
	r, err := g.Build(p, nil)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	return g.NewCellOf(r)
}

// NewCellOf makes a cell with rules that are built.
func (g *Guard) NewCellOf(r *Rules) (*Cell, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.freeCells) == 0 {
		return nil, ErrFull
	}
	g.lives++
	c := &Cell{guard: g, index: g.freeCells[0], life: g.lives}
	*(*usage)(g.usage(c.index)) = usage{}
	if err := c.publish(r); err != nil {
		return nil, err
	}
	g.freeCells = g.freeCells[1:]
	g.shared(c.index).life.Store(c.life)
	return c, nil
}

// Index is the cell's number in the maps and in events. It is used again.
func (c *Cell) Index() uint32 { return c.index }

// Life tells the cell from the others of its number. It is never 0.
func (c *Cell) Life() uint32 { return c.life }

// Swap builds a policy and publishes it.
func (c *Cell) Swap(p policy.Policy) error {
	r, err := c.guard.Build(p, nil)
	if err != nil {
		return err
	}
	defer r.Release()
	return c.Publish(r)
}

// Publish gives the cell other rules, by one store. When it returns, every verdict that
// begins is by the new ones. What the cell has used stays used.
func (c *Cell) Publish(r *Rules) error {
	c.guard.mu.Lock()
	defer c.guard.mu.Unlock()
	return c.publish(r)
}

// publish is Publish for who holds mu.
func (c *Cell) publish(r *Rules) error {
	switch {
	case c.closed:
		return ErrClosed
	case r.holders == 0:
		return ErrReleased
	}
	r.holders++
	c.point(r)
	return nil
}

// point stores the cell's word and drops what it had. The caller holds mu.
func (c *Cell) point(r *Rules) {
	g := c.guard
	g.generation++
	word := uint64(g.generation) << 32
	if r != nil {
		word |= uint64(r.slot) + 1
	}
	g.shared(c.index).word.Store(word)
	g.drop(c.rules)
	c.rules = r
}

// DenyAll takes everything away, at once; also from its open connections, where bytes are
// counted.
func (c *Cell) DenyAll() {
	c.guard.mu.Lock()
	defer c.guard.mu.Unlock()
	if !c.closed {
		c.point(nil)
	}
}

// Close denies everything and gives the cell's number back. What is left of its threads may
// do nothing any more, and what its sockets have not sent is not sent. A second Close is
// none.
func (c *Cell) Close() {
	c.guard.mu.Lock()
	defer c.guard.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.point(nil)
	c.guard.shared(c.index).life.Store(0)
	c.guard.freeCells = append(c.guard.freeCells, c.index)
}

// Usage returns the counters, until the cell is closed. Each is as it is now; they are not
// of one moment.
func (c *Cell) Usage() Usage {
	var u Usage
	words := (*[unsafe.Sizeof(u) / 8]uint64)(unsafe.Pointer(&u))
	shared := (*[len(words)]uint64)(c.guard.usage(c.index))
	for i := range words {
		words[i] = atomic.LoadUint64(&shared[i])
	}
	return u
}

// usage is where a cell's counters are: a usage.
func (g *Guard) usage(cell uint32) unsafe.Pointer {
	return unsafe.Pointer(&g.usages[cell*uint32(unsafe.Sizeof(usage{}))])
}

package guard

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// A Cell is a policy that threads are bound to.
type Cell struct {
	guard *Guard
	index uint32
	slot  int // -1 when it has none
}

// Usage is what a cell has done: struct usage.
type Usage struct{ Opens, Connects, Denied uint64 }

// Errors of binding and of room.
var (
	// ErrFull: there are too many cells or policies.
	ErrFull = errors.New("guard: there is no room for another cell")
	// ErrClaim: this kernel cannot bind that thread from outside; see Cell.Claim.
	ErrClaim = errors.New("guard: the thread must take its binding itself")
)

// NewCell makes a cell with a policy.
func (g *Guard) NewCell(p policy.Policy) (*Cell, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.freeCells) == 0 {
		return nil, ErrFull
	}
	c := &Cell{guard: g, index: g.freeCells[0], slot: -1}
	*g.usage(c.index) = Usage{}
	if err := c.publish(p); err != nil {
		return nil, err
	}
	g.freeCells = g.freeCells[1:]
	return c, nil
}

// Index is the cell's number in the maps.
func (c *Cell) Index() uint32 { return c.index }

// Swap replaces the policy. When it returns, every verdict that begins is by the new one.
func (c *Cell) Swap(p policy.Policy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	c.guard.mu.Lock()
	defer c.guard.mu.Unlock()
	return c.publish(p)
}

// publish builds p in a free slot and points the cell to it. The caller holds mu.
func (c *Cell) publish(p policy.Policy) error {
	g := c.guard
	if len(g.freeSlots) == 0 {
		if len(g.retired) == 0 {
			return ErrFull
		}
		// Nobody has waited for those that may be reading it. Taking its rules away
		// does, and denies in the meantime.
		if err := g.empty(g.retired[0]); err != nil {
			return err
		}
		g.freeSlots, g.retired = append(g.freeSlots, g.retired[0]), g.retired[1:]
	}
	retired := len(g.retired)
	slot := g.freeSlots[0]
	if err := g.build(slot, p); err != nil {
		return err
	}
	// What was retired before the build began has no reader any more.
	g.freeSlots = append(g.freeSlots[1:], g.retired[:retired]...)
	g.retired = g.retired[retired:]
	g.point(c, int(slot))
	return nil
}

// point stores the cell's word and retires the slot it had. The caller holds mu.
func (g *Guard) point(c *Cell, slot int) {
	g.generation++
	word := uint64(g.generation) << 32
	if slot >= 0 {
		word |= uint64(slot) + 1
	}
	g.word(c.index).Store(word)
	if c.slot >= 0 {
		g.retired = append(g.retired, uint32(c.slot))
	}
	c.slot = slot
}

// DenyAll takes everything away, at once.
func (c *Cell) DenyAll() {
	c.guard.mu.Lock()
	defer c.guard.mu.Unlock()
	c.guard.point(c, -1)
}

// Close denies everything and gives the cell's number back, once its threads have ended.
func (c *Cell) Close() {
	c.guard.mu.Lock()
	defer c.guard.mu.Unlock()
	c.guard.point(c, -1)
	c.guard.freeCells = append(c.guard.freeCells, c.index)
}

// Usage returns the counters.
func (c *Cell) Usage() Usage { return *c.guard.usage(c.index) }

func (g *Guard) usage(cell uint32) *Usage {
	return (*Usage)(unsafe.Pointer(&g.usages[cell*uint32(unsafe.Sizeof(Usage{}))]))
}

// binding is struct binding.
type binding struct{ Cell, Bound uint32 }

// Bind binds a thread, by its number in this PID namespace; what it starts later is bound,
// too. It fails with ErrClaim where the kernel (before 6.9) cannot name the thread.
func (c *Cell) Bind(tid int) error {
	fd, err := unix.PidfdOpen(tid, unix.PIDFD_THREAD)
	if errors.Is(err, unix.EINVAL) { // no such flag: only processes have descriptors
		fd, err = unix.PidfdOpen(tid, 0)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return ErrClaim
		}
	}
	if err != nil {
		return fmt.Errorf("guard: open a descriptor of thread %d: %w", tid, err)
	}
	err = c.guard.maps.Bindings.Put(int32(fd), binding{c.index, 1})
	_ = unix.Close(fd)
	if err != nil {
		return fmt.Errorf("guard: bind thread %d: %w", tid, err)
	}
	return nil
}

// Claim leaves a binding for a thread, which takes it with its next prctl, whatever that
// asks. Claimed tells whether it has. A claim that nobody took is to be withdrawn: a later
// thread of the same number would take it.
func (c *Cell) Claim(tid int) error {
	if err := c.guard.maps.Claims.Put(uint32(tid), c.index); err != nil {
		return fmt.Errorf("guard: leave a binding for thread %d: %w", tid, err)
	}
	return nil
}

// Claimed reports whether the thread has taken its binding.
func (c *Cell) Claimed(tid int) bool {
	var cell uint32
	return c.guard.maps.Claims.Lookup(uint32(tid), &cell) != nil
}

// Withdraw takes back a claim.
func (c *Cell) Withdraw(tid int) {
	_ = c.guard.maps.Claims.Delete(uint32(tid)) // it may have been taken just now
}

// BindSelf binds the calling thread, which must be locked, however the kernel allows.
func (c *Cell) BindSelf() error {
	tid := unix.Gettid()
	if err := c.Bind(tid); !errors.Is(err, ErrClaim) {
		return err
	}
	if err := c.Claim(tid); err != nil {
		return err
	}
	if _, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("guard: take the binding: %w", err)
	}
	if !c.Claimed(tid) {
		c.Withdraw(tid)
		return fmt.Errorf("guard: thread %d did not get its binding", tid)
	}
	return nil
}

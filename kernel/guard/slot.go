package guard

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// slotKey tells policies apart, by what they judge.
type slotKey [32]byte

// Rules are a policy in the kernel, ready to be published to any number of cells.
type Rules struct {
	guard *Guard
	slot  uint32
	key   slotKey
	// holders are the cells that have it and who built it and has not released it.
	holders int
	// retiredAt is how many fillings had begun when nobody held it any more.
	retiredAt uint64
}

// slots are the places for policies. Guard.mu guards them.
type slots struct {
	free  []uint32
	built map[slotKey]*Rules
	// retired are built and nobody's, the longest first: they can be had again, and
	// make room when there is no other. A program may still be reading the last ones.
	retired []*Rules
	// A filling waits for all programs that ran when it began.
	begun, filled uint64
}

func newSlots(n uint32) slots {
	s := slots{built: map[slotKey]*Rules{}}
	for slot := range n {
		s.free = append(s.free, slot)
	}
	return s
}

// Errors of building.
var (
	// ErrFull: there are too many cells or policies.
	ErrFull = errors.New("guard: there is no room for another cell or policy")
	// ErrBound: the calling thread is bound to a cell, and cells may not speak to eBPF.
	ErrBound = errors.New("guard: a bound thread cannot build policies; let another do it")
	// ErrReleased: the rules are nobody's any more.
	ErrReleased = errors.New("guard: the rules were released")
)

// Build puts a policy into the kernel, aside: no cell has it until it is published. One
// that is already there is shared, which takes microseconds; another takes milliseconds,
// because the kernel waits for the programs that run. Release it in the end.
//
// Build fails with ErrBound on a thread that is bound, where LSM programs judge.
func (g *Guard) Build(p policy.Policy, contracts Contracts) (*Rules, error) {
	c, err := g.compile(p, contracts)
	if err != nil {
		return nil, err
	}
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	if r := g.hold(key); r != nil {
		return r, nil
	}
	g.building.Lock()
	defer g.building.Unlock()
	if r := g.hold(key); r != nil { // another was faster
		return r, nil
	}
	r, err := g.build(key, c)
	if err != nil && g.mayNotAsk() {
		return nil, ErrBound // the errors of eBPF's refusal mislead
	}
	return r, err
}

// mayNotAsk reports whether the calling thread is refused everything of eBPF.
func (g *Guard) mayNotAsk() bool {
	var limit limits
	return errors.Is(g.maps["limits"].Lookup(uint32(0), &limit), unix.EACCES)
}

// hold takes part in what is built already.
func (g *Guard) hold(key slotKey) *Rules {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.slots.built[key]
	if r == nil {
		return nil
	}
	if r.holders == 0 {
		at := slices.Index(g.slots.retired, r)
		g.slots.retired = slices.Delete(g.slots.retired, at, at+1)
	}
	r.holders++
	return r
}

// build fills a slot. The caller holds building.
func (g *Guard) build(key slotKey, c compiled) (*Rules, error) {
	slot, err := g.takeSlot()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.slots.begun++
	begun := g.slots.begun
	g.mu.Unlock()
	err = g.fill(slot, c)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.slots.free = append(g.slots.free, slot) // nobody reads it
		return nil, err
	}
	g.slots.filled = begun
	r := &Rules{guard: g, slot: slot, key: key, holders: 1}
	g.slots.built[key] = r
	return r, nil
}

// takeSlot finds a slot that no program reads. The caller holds building.
func (g *Guard) takeSlot() (uint32, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &g.slots
	if n := len(s.free); n > 0 {
		slot := s.free[0]
		s.free = s.free[1:]
		return slot, nil
	}
	if len(s.retired) == 0 {
		return 0, ErrFull
	}
	r := s.retired[0]
	if s.filled <= r.retiredAt {
		// Nobody has waited for those that may be reading it. Taking its rules away
		// does, and denies in the meantime.
		if err := g.empty(r.slot); err != nil {
			return 0, err
		}
	}
	s.retired = s.retired[1:]
	delete(s.built, r.key)
	return r.slot, nil
}

// drop gives a part in r back. The caller holds mu. r may be nil.
func (g *Guard) drop(r *Rules) {
	if r == nil {
		return
	}
	if r.holders--; r.holders == 0 {
		r.retiredAt = g.slots.begun
		g.slots.retired = append(g.slots.retired, r)
	}
}

// Release gives up what Build gave; cells that have the rules keep them.
func (r *Rules) Release() {
	r.guard.mu.Lock()
	defer r.guard.mu.Unlock()
	r.guard.drop(r)
}

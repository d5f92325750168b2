package host

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
)

// The bounds of a cell's process that depend on its limits, as do_claim of cell/cpython puts
// them on: the space beyond what it began with, and numbers with some to spare.
func descriptors(l cell.Limits) uint64 { return uint64(l.Files) + 8 }
func tasks(l cell.Limits) uint64       { return 2*uint64(l.Children) + 16 }

// bounds are what a process has on.
type bounds struct {
	begun   bool
	claimed cell.Limits // what it put on by itself
	has     cell.Limits // those that were put on last, each of its own
	// What it put on, beside its limits.
	known bool
	space uint64 // beyond its memory limit; 0: not bounded
	tasks bool   // they are bounded: it is counted by itself
}

// Bound changes what the process cannot change itself: to raise takes a right over the whole
// machine. Limits of before are those of the claim when it is called first. What could not be
// put on is tried again each time, and said again.
func (c *child) Bound(before, l cell.Limits) (missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	if !c.bounds.begun {
		c.bounds = bounds{begun: true, claimed: before, has: before}
	}
	has := &c.bounds.has
	for _, b := range []struct {
		what    string
		changed bool
		set     func() error
		put     func()
	}{
		{"memory", l.Memory != has.Memory, func() error { return c.setSpace(l) }, func() { has.Memory = l.Memory }},
		{"files", l.Files != has.Files, func() error { return c.set(unix.RLIMIT_NOFILE, descriptors(l)) }, func() { has.Files = l.Files }},
		{"children", l.Children != has.Children, func() error { return c.setTasks(l) }, func() { has.Children = l.Children }},
	} {
		if !b.changed {
			continue
		}
		err := c.learn()
		if err == nil {
			err = b.set()
		}
		switch {
		case err == nil:
			b.put()
		case !errors.Is(err, unix.ESRCH):
			missing = append(missing, fmt.Sprintf("%s: its process keeps the bound it has: %v", b.what, err))
		}
	}
	return missing
}

func (c *child) setSpace(l cell.Limits) error {
	if c.bounds.space == 0 {
		return nil
	}
	most := c.bounds.space + uint64(l.Memory)
	if most < c.bounds.space {
		return unix.ERANGE
	}
	return c.set(unix.RLIMIT_AS, most)
}

func (c *child) setTasks(l cell.Limits) error {
	if !c.bounds.tasks {
		return nil
	}
	return c.set(unix.RLIMIT_NPROC, tasks(l))
}

// learn looks, once, at what the process has put on.
func (c *child) learn() error {
	if c.bounds.known {
		return nil
	}
	claimed := c.bounds.claimed
	var space, number unix.Rlimit
	if err := errors.Join(unix.Prlimit(c.pid, unix.RLIMIT_AS, nil, &space), unix.Prlimit(c.pid, unix.RLIMIT_NPROC, nil, &number)); err != nil {
		return err
	}
	c.bounds.known, c.bounds.tasks = true, number.Max == tasks(claimed)
	if space.Max != math.MaxUint64 && space.Max > uint64(claimed.Memory) {
		c.bounds.space = space.Max - uint64(claimed.Memory)
	}
	return nil
}

// set replaces a limit of the process, which must not have been reaped: its number could be
// another's.
func (c *child) set(resource int, most uint64) error {
	if err := unix.PidfdSendSignal(c.pidfd, 0, nil, 0); err != nil {
		return err
	}
	return unix.Prlimit(c.pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil)
}

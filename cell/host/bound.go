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

// Bound changes what the process cannot change itself: to raise takes a right over the whole
// machine.
func (c *child) Bound(from, to cell.Limits) (missing []string) {
	for _, b := range []struct {
		what     string
		resource int
		next     func(now uint64) uint64
	}{
		{"memory", unix.RLIMIT_AS, func(now uint64) uint64 { return now - uint64(from.Memory) + uint64(to.Memory) }},
		{"files", unix.RLIMIT_NOFILE, func(uint64) uint64 { return descriptors(to) }},
		{"children", unix.RLIMIT_NPROC, func(now uint64) uint64 {
			if now != tasks(from) { // it is counted with others, and not bounded
				return now
			}
			return tasks(to)
		}},
	} {
		if err := c.bound(b.resource, b.next); err != nil {
			missing = append(missing, fmt.Sprintf("%s: its process keeps the bound it has: %v", b.what, err))
		}
	}
	return missing
}

// bound replaces one limit of the process, which must not be reaped meanwhile: its number
// could be another's.
func (c *child) bound(resource int, next func(uint64) uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	var now unix.Rlimit
	if err := unix.Prlimit(c.pid, resource, nil, &now); err != nil {
		return c.unlessGone(err)
	}
	to := next(now.Max)
	if now.Max == math.MaxUint64 || to == now.Max {
		return nil
	}
	if err := unix.PidfdSendSignal(c.pidfd, 0, nil, 0); err != nil {
		return c.unlessGone(err)
	}
	return c.unlessGone(unix.Prlimit(c.pid, resource, &unix.Rlimit{Cur: to, Max: to}, nil))
}

func (c *child) unlessGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

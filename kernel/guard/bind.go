package guard

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// binding is struct binding.
type binding struct{ Cell, Life uint32 }

func (c *Cell) binding() binding { return binding{c.index, c.life} }

// ErrClaim: this kernel cannot bind that thread from outside; see Cell.Claim.
var ErrClaim = errors.New("guard: the thread must take its binding itself")

// firstNamespace is the number of the first PID namespace, in which the programs number threads.
const firstNamespace = 0xeffffffc

// numbersFit fails when this process, and what it reads in /proc, numbers threads otherwise than the
// programs do: what is bound by number would be another thread, or none, and none is let through.
func numbersFit() error {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return fmt.Errorf("guard: look for this process's PID namespace: %w", err)
	}
	if st.Ino != firstNamespace {
		return errors.New("guard: this kernel binds threads by their number in the first PID namespace, and this process is in another: start it with the machine's own (hostPID, --pid=host)")
	}
	return nil
}

// Bind binds a thread, by its number in the first PID namespace; what it starts later is
// bound, too. It fails with ErrClaim where the kernel (before 6.9) cannot name the thread.
func (c *Cell) Bind(tid int) error {
	if c.guard.byThread {
		if err := c.guard.maps["threads"].Put(uint32(tid), c.binding()); err != nil {
			return fmt.Errorf("guard: bind thread %d: %w", tid, err)
		}
		return nil
	}
	fd, err := descriptorOf(tid)
	if err != nil {
		return err
	}
	err = c.guard.maps["bindings"].Put(int32(fd), c.binding())
	_ = unix.Close(fd)
	if err != nil {
		return fmt.Errorf("guard: bind thread %d: %w", tid, err)
	}
	return nil
}

// Bound reports whether the thread is bound to the cell, also by who started it. Where the kernel
// cannot name the thread it is not.
func (c *Cell) Bound(tid int) bool {
	var has binding
	if c.guard.byThread {
		return c.guard.maps["threads"].Lookup(uint32(tid), &has) == nil && has == c.binding()
	}
	fd, err := descriptorOf(tid)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return c.guard.maps["bindings"].Lookup(int32(fd), &has) == nil && has == c.binding()
}

// descriptorOf opens a descriptor by which maps know the thread.
func descriptorOf(tid int) (int, error) {
	fd, err := unix.PidfdOpen(tid, unix.PIDFD_THREAD)
	if errors.Is(err, unix.EINVAL) { // no such flag: only processes have descriptors
		fd, err = unix.PidfdOpen(tid, 0)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return -1, ErrClaim
		}
	}
	if err != nil {
		return -1, fmt.Errorf("guard: open a descriptor of thread %d: %w", tid, err)
	}
	return fd, nil
}

// Claim leaves a binding for a thread, which takes it with its next prctl, whatever that
// asks. Claimed tells whether it has. A claim that nobody took is to be withdrawn: a later
// thread of the same number would take it. Only LSM programs give it to the thread, and only
// where this process is in the first PID namespace.
func (c *Cell) Claim(tid int) error {
	m := c.guard.maps["claims"]
	if m == nil {
		return fmt.Errorf("guard: no program of kind %s gives thread %d a binding that is left for it", c.guard.kind, tid)
	}
	if err := numbersFit(); err != nil {
		return err
	}
	if err := m.Put(uint32(tid), c.binding()); err != nil {
		return fmt.Errorf("guard: leave a binding for thread %d: %w", tid, err)
	}
	return nil
}

// Claimed reports whether the thread has taken its binding.
func (c *Cell) Claimed(tid int) bool {
	var claim binding
	m := c.guard.maps["claims"]
	return m != nil && m.Lookup(uint32(tid), &claim) != nil
}

// Withdraw takes back a claim.
func (c *Cell) Withdraw(tid int) {
	if m := c.guard.maps["claims"]; m != nil {
		_ = m.Delete(uint32(tid)) // it may have been taken just now
	}
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
	// Asked by another thread: this one may not speak to eBPF any more.
	claimed := make(chan bool)
	go func() { claimed <- c.Claimed(tid) }()
	if !<-claimed {
		c.Withdraw(tid)
		return fmt.Errorf("guard: thread %d did not get its binding", tid)
	}
	return nil
}

package host

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
)

// child is a cell with a process of its own, forked by a zygote.
type child struct {
	pid     int
	granted uint64
	region  atomic.Pointer[ring.Region]
	done    chan struct{}

	mu    sync.Mutex
	pidfd int // -1 once buried
	err   error
	cpu   time.Duration
}

var _ Worker = (*child)(nil)

func newChild(f forked) *child {
	return &child{pid: f.pid, granted: f.granted, pidfd: f.pidfd, done: make(chan struct{})}
}

// Interrupt bumps the region's control word; a thread in the cell watches it
// and repeats the interruption until the operation ends.
func (c *child) Interrupt(op uint64, reason cell.Kind) {
	if r := c.region.Load(); r != nil {
		r.Interrupt(op, uint8(reason))
	}
}

func (c *child) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd >= 0 {
		_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
	}
}

// CPU reads the process's clock, all its threads together.
func (c *child) CPU() (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd < 0 {
		return c.cpu, nil
	}
	const cpuclockSched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^c.pid)<<3|cpuclockSched, &ts); err != nil {
		return c.cpu, fmt.Errorf("host: read CPU clock of process %d: %w", c.pid, err)
	}
	c.cpu = time.Duration(ts.Nano())
	return c.cpu, nil
}

func (c *child) Done() <-chan struct{} { return c.done }

func (c *child) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Stuck is always false: SIGKILL needs no cooperation.
func (c *child) Stuck() bool { return false }

// bury is called once, when the process has been reaped or its zygote is dead.
func (c *child) bury(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd < 0 {
		return
	}
	_ = unix.Close(c.pidfd)
	c.pidfd, c.err = -1, err
	close(c.done)
}

// Namespaces names those the kernel granted.
func (c *child) Namespaces() []string { return NamespaceNames(c.granted) }

var namespaceNames = []struct {
	flag uint64
	name string
}{
	{unix.CLONE_NEWUSER, "user"}, {unix.CLONE_NEWPID, "pid"}, {unix.CLONE_NEWNET, "net"},
	{unix.CLONE_NEWNS, "mount"}, {unix.CLONE_NEWIPC, "ipc"}, {unix.CLONE_NEWUTS, "uts"},
	{unix.CLONE_NEWCGROUP, "cgroup"},
}

// NamespaceNames lists the namespaces in CLONE_NEW* flags.
func NamespaceNames(flags uint64) []string {
	var out []string
	for _, n := range namespaceNames {
		if flags&n.flag != 0 {
			out = append(out, n.name)
		}
	}
	return out
}

// describeStatus says how a process ended; nil for exit code 0.
func describeStatus(w unix.WaitStatus) error {
	switch {
	case w.Signaled():
		return fmt.Errorf("killed by signal %d (%s)", w.Signal(), unix.SignalName(w.Signal()))
	case w.ExitStatus() != 0:
		return fmt.Errorf("exited with status %d", w.ExitStatus())
	}
	return nil
}

func describeExit(what string, err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if w, ok := exit.Sys().(syscall.WaitStatus); ok {
			err = describeStatus(unix.WaitStatus(w))
		}
	}
	if err == nil {
		return fmt.Errorf("the %s exited", what)
	}
	return fmt.Errorf("the %s ended: %w", what, err)
}

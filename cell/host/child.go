package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
)

// How the process of a cell began, as reports tell it.
const (
	startFork = "fork"
	startExec = "exec"
)

// child is a cell with a process of its own, forked by a zygote or executed.
type child struct {
	start   string
	pid     int
	uid     uint32 // on the node
	granted uint64
	pidfd   int // the child's own, until it is reaped
	region  atomic.Pointer[ring.Region]
	life    context.Context
	isOver  context.CancelFunc // of life

	mu     sync.Mutex
	killed bool
	ended  bool // runs no code any more, and life is over
	reaped bool
	ends   []func() // called once it is reaped
	err    error
	cpu    time.Duration
	bounds bounds
}

var _ Worker = (*child)(nil)

// newChild takes pidfd over.
func newChild(start string, pid, pidfd int, granted uint64) *child {
	c := &child{start: start, pid: pid, pidfd: pidfd, uid: uint32(os.Getuid()), granted: granted}
	c.life, c.isOver = context.WithCancel(context.Background())
	return c
}

// belongTo is called before the child is anybody's.
func (c *child) belongTo(z *Zygote, o order) {
	if o.uid != 0 {
		c.uid = o.uid
		c.onEnd(func() { z.uids.give(o.uid) })
	}
}

// onEnd has f called when the child is reaped, or now when it has been.
func (c *child) onEnd(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		f()
		return
	}
	c.ends = append(c.ends, f)
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
	if c.ended {
		return
	}
	_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
	if !c.killed {
		c.killed = true
		c.awaitDeath()
	}
}

// CPU reads the process's clock, all its threads together.
func (c *child) CPU() (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
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

// Task is the process.
func (c *child) Task() int { return c.pid }

func (c *child) Done() <-chan struct{} { return c.life.Done() }

func (c *child) WhenDone(f func()) { context.AfterFunc(c.life, f) }

func (c *child) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Stuck is always false: SIGKILL needs no cooperation.
func (c *child) Stuck() bool { return false }

// over is, under mu, that nothing of the process runs any more. The first reason counts.
func (c *child) over(err error) {
	if !c.ended {
		c.ended, c.err = true, err
		c.isOver()
	}
}

// bereave kills and buries a child whose zygote has died: that is the reason, and not that the child is killed.
func (c *child) bereave(why error) {
	c.mu.Lock()
	if !c.ended {
		_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
	}
	c.mu.Unlock()
	c.bury(why)
}

// bury is called when the process has been reaped or its zygote is dead.
func (c *child) bury(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return
	}
	c.reaped = true
	c.over(err)
	closeFD(c.pidfd)
	for _, f := range c.ends {
		f()
	}
}

// Namespaces names those the kernel granted.
func (c *child) Namespaces() []string { return NamespaceNames(c.granted) }

// Origin is how the process began, and the user it runs as.
func (c *child) Origin() (start string, uid uint32) { return c.start, c.uid }

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

// describeExit is describeStatus of what Wait returned, and is never nil.
func describeExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if w, ok := exit.Sys().(syscall.WaitStatus); ok {
			err = describeStatus(unix.WaitStatus(w))
		}
	}
	if err == nil {
		return errors.New("exited")
	}
	return err
}

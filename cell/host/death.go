package host

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// deathPatience is how long a killed process may take to be gone before it counts as
// ended all the same: it runs no code of its own any more, and what holds it in the
// kernel (a tracer, a device that does not answer) is none of the cell's siblings'
// business.
const deathPatience = 2 * time.Second

var (
	errKilled = errors.New("killed by signal 9 (SIGKILL)")
	errHeld   = fmt.Errorf("%w; the kernel holds its process still", errKilled)
)

// awaitDeath ends a child that was killed without waiting for who reaps it: a zygote
// that forks has no time, and a process that is traced is its tracer's first. It is
// called once, under mu, and its goroutine ends with the process or with the patience.
func (c *child) awaitDeath() {
	exit, err := watchExit(c.pidfd)
	if err != nil {
		return // whoever reaps it tells
	}
	go func() {
		why := errKilled
		if !exit.wait(deathPatience) {
			why = errHeld
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.over(why)
	}()
}

// exitWatch is a pidfd of one's own in the runtime's poller.
type exitWatch struct{ file *os.File }

func watchExit(pidfd int) (exitWatch, error) {
	fd, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return exitWatch{}, fmt.Errorf("host: watch a process: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return exitWatch{}, errors.Join(err, unix.Close(fd))
	}
	return exitWatch{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// wait reports whether all threads of the process have ended within d. It is called
// once and closes the watch.
func (w exitWatch) wait(d time.Duration) bool {
	defer func() { _ = w.file.Close() }()
	raw, err := w.file.SyscallConn()
	if err != nil || w.file.SetReadDeadline(time.Now().Add(d)) != nil {
		return false
	}
	gone := false
	_ = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		gone = n > 0 && err == nil
		return gone
	})
	return gone
}

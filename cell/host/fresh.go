package host

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/ring"
)

// fresh is a process of its own with Python that waits to be told which cell it is.
type fresh struct {
	*control
	begun uint64 // CLONE_NEW* flags
}

// startFresh begins one. Only its creator can give a process a PID namespace. The
// others it enters itself when it has loaded Python, unless the creator needs a user
// namespace for the one: that comes first, and nobody could map a user into it.
func (z *Zygote) startFresh() (*fresh, error) {
	tries := []uint64{0}
	if wanted := z.config.Namespaces; wanted&unix.CLONE_NEWPID != 0 {
		tries = []uint64{unix.CLONE_NEWPID, wanted, 0}
	}
	var refused error
	for _, flags := range tries {
		cmd := z.config.Fresh()
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(flags)}
		c, err := startControl(cmd, z.config.Dist, z.uids.any())
		if err == nil {
			z.forbid(c.noUser)
			return &fresh{control: c, begun: flags}, nil
		}
		refused = errors.Join(refused, err)
		if errors.Is(err, errPython) {
			break
		}
	}
	return nil, fmt.Errorf("host: execute a cell: %w", refused)
}

// execute makes a cell of a process that nobody forked.
func (z *Zygote) execute(r *ring.Region) (Worker, error) {
	z.mu.Lock()
	f := z.spare
	z.spare = nil
	z.rest.blame()
	z.told.Lock()
	z.noZygote = z.rest.why
	z.told.Unlock()
	z.mu.Unlock()
	if f == nil {
		var err error
		if f, err = z.startFresh(); err != nil {
			return nil, err
		}
	}
	o, err := z.order()
	if err != nil {
		return nil, errors.Join(err, f.abandon())
	}
	o.begun = f.begun
	answer, err := f.become(o, r)
	pidfd := -1
	if err == nil {
		pidfd, err = unix.PidfdOpen(f.cmd.Process.Pid, 0)
	}
	if err != nil {
		z.uids.give(o.uid)
		return nil, fmt.Errorf("host: execute a cell: %w", errors.Join(err, f.abandon()))
	}
	c := newChild(startExec, f.cmd.Process.Pid, pidfd, answer.granted)
	c.belongTo(z, o)
	z.attend(f, c)
	c.region.Store(r)
	return c, nil
}

// become tells the process its cell and waits for its word that it is so.
func (f *fresh) become(o order, r *ring.Region) (reply, error) {
	if err := f.sock.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return reply{}, err
	}
	if err := f.request(o, r); err != nil {
		return reply{}, err
	}
	answer, err := f.receive()
	if err != nil {
		return reply{}, err
	}
	closeFD(answer.pidfd)
	if answer.errno != 0 {
		return reply{}, syscall.Errno(answer.errno)
	}
	return answer, nil
}

// attend buries the cell when its process has ended.
func (z *Zygote) attend(f *fresh, c *child) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.executed[c] = struct{}{}
	if z.closed {
		c.Kill()
	}
	z.attending.Go(func() {
		exit := f.cmd.Wait()
		_ = f.sock.Close()
		z.mu.Lock()
		delete(z.executed, c)
		z.mu.Unlock()
		if f.cmd.ProcessState != nil { // else somebody reaped it before us
			exit = describeStatus(unix.WaitStatus(f.cmd.ProcessState.Sys().(syscall.WaitStatus)))
		}
		c.bury(exit)
	})
}

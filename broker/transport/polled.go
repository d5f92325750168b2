package transport

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Polled is a Socket for a process with many of them: a goroutine that waits for something to read
// gives its thread away. The runtime's poller wakes it, and hears of the socket only while somebody
// waits: while one only looks, nobody is woken beside it.
type Polled struct {
	*Socket
	bell *os.File // an epoll instance of the socket alone
	raw  syscall.RawConn
}

var _ Transport = (*Polled)(nil)

// NewPolled takes the connected stream socket f over, unless it returns an error.
func NewPolled(f *os.File) (*Polled, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("transport: create an epoll instance: %w", err)
	}
	err = unix.SetNonblock(epoll, true) // or os would not have the runtime poll it
	bell := os.NewFile(uintptr(epoll), "bell")
	p := &Polled{bell: bell}
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(f.Fd()), &unix.EpollEvent{Events: unix.EPOLLONESHOT}) // silent until it is armed
	}
	if err == nil {
		p.raw, err = bell.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("transport: poll the socket: %w", err), bell.Close())
	}
	p.Socket = NewSocket(f)
	return p, nil
}

// Await has the bell ring once, also for what is there already, and waits for it.
func (p *Polled) Await() {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.closed {
		return
	}
	armed := false
	_ = p.raw.Read(func(bell uintptr) bool {
		if !armed { // here, and not before: Read forgets what has rung before it
			armed = true
			e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT}
			if unix.EpollCtl(int(bell), unix.EPOLL_CTL_MOD, p.fd, &e) != nil {
				return true // TryRead will say why
			}
		}
		return rang(bell) // or a bell that has rung already, as of a hangup before it was armed, would not ring again
	})
}

// rang takes word of the socket out of the bell, which is silent then. The scheduler need not know: it does not wait.
func rang(bell uintptr) bool {
	var events [1]unix.EpollEvent
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, bell, uintptr(unsafe.Pointer(&events)), 1, 0, 0, 0)
	return errno != 0 || n > 0
}

// Close returns when the descriptors are closed.
func (p *Polled) Close() error {
	err := p.Socket.Close() // frees who waits
	if e := p.bell.Close(); !errors.Is(e, os.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

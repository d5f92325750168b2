package transport

import (
	"fmt"
	"io"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is a connected stream socket outside the runtime's poller: a goroutine
// that waits blocks its thread, which the kernel then wakes directly, and while
// one only looks nobody is woken beside it. It is for a process with one: each costs
// a thread while it is waited for.
type Socket struct {
	f  *os.File
	fd int

	// use is held for reading in every system call, so that the descriptor is
	// closed only when none is under way.
	use    sync.RWMutex
	closed bool
}

var _ Transport = (*Socket)(nil)

// NewSocket takes the connected stream socket f over.
func NewSocket(f *os.File) *Socket { return &Socket{f: f, fd: int(f.Fd())} }

// Pair returns two connected stream sockets: one to build a transport on, one to
// be inherited by another process.
func Pair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("transport: create socket pair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "host"), os.NewFile(uintptr(fds[1]), "node"), nil
}

// TryRead reads what is there.
func (s *Socket) TryRead(p []byte) (int, error) {
	s.use.RLock()
	defer s.use.RUnlock()
	for !s.closed {
		n, errno := s.transfer(unix.SYS_RECVFROM, p, 0)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return 0, nil
		case errno != 0:
			return 0, fmt.Errorf("transport: read: %w", errno)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
	return 0, os.ErrClosed
}

// Await blocks until there is something to read, or the end.
func (s *Socket) Await() {
	s.use.RLock()
	defer s.use.RUnlock()
	if !s.closed {
		s.await(unix.POLLIN)
	}
}

// Write writes all of p.
func (s *Socket) Write(p []byte) error {
	s.use.RLock()
	defer s.use.RUnlock()
	for {
		n, err := s.write(p)
		if p = p[n:]; err != nil || len(p) == 0 {
			return err
		}
		s.await(unix.POLLOUT)
	}
}

// TryWrite writes what there is room for.
func (s *Socket) TryWrite(p []byte) (int, error) {
	s.use.RLock()
	defer s.use.RUnlock()
	return s.write(p)
}

// write is TryWrite under use.
func (s *Socket) write(p []byte) (n int, err error) {
	for n < len(p) {
		if s.closed {
			return n, os.ErrClosed
		}
		m, errno := s.transfer(unix.SYS_SENDTO, p[n:], unix.MSG_NOSIGNAL)
		n += m
		switch {
		case errno == unix.EAGAIN:
			return n, nil
		case errno != 0 && errno != unix.EINTR:
			// A peer may have ended only its reading: whoever waits for its words is to know.
			_ = unix.Shutdown(s.fd, unix.SHUT_RDWR)
			return n, fmt.Errorf("transport: write: %w", errno)
		}
	}
	return n, nil
}

// transfer is one system call that does not wait, so the scheduler need not know.
func (s *Socket) transfer(call uintptr, p []byte, flags uintptr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(call, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_DONTWAIT|flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// await blocks the thread until the socket may be ready for events, or is shut
// down. It polls, because a thread that waits in recv is also woken each time the
// peer reads.
func (s *Socket) await(events int16) {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: events}}, -1) // what is wrong the transfer will say
}

// Close returns when the descriptor is closed.
func (s *Socket) Close() error {
	s.shutdown() // before use is taken: this is what frees those who hold it
	s.use.Lock()
	defer s.use.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.f.Close(); err != nil {
		return fmt.Errorf("transport: close: %w", err)
	}
	return nil
}

func (s *Socket) shutdown() {
	s.use.RLock()
	defer s.use.RUnlock()
	if !s.closed {
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // fails when the peer is gone: then nobody waits
	}
}

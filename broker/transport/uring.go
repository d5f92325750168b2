package transport

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Ring is a Socket through io_uring. A receive is always under way, so looking for
// data is a look at memory. Where the kernel can (6.0), one multishot receive
// brings message after message; elsewhere each is asked for again.
//
// A stream that comes faster than it is read fills the few buffers there are. Then
// no receive is under way, and reads go to the socket itself until it is empty.
//
// The kernel finishes a receive on the thread that asked for it, waking it first if
// it sleeps. So a Ring is at its best when one goroutine does the reading.
type Ring struct {
	s *Socket // its lock guards the memory shared with the kernel, too

	in        *queue // nil when released
	buffers   *buffers
	ioprio    uint16 // how to receive: recvMultishot, or 0
	receiving bool   // the kernel may write to the buffers
	flooded   bool   // they did not suffice
	rest      []byte // of a buffer, unread
	end       error
}

var _ Transport = (*Ring)(nil)

// Completions are told apart by these.
const (
	tagReceive = 1 + iota
	tagCancel
)

// NewRing takes the connected stream socket f over, unless it returns an error,
// which is ErrNoUring where the kernel refuses.
func NewRing(f *os.File) (*Ring, error) { return newRing(f, ioUringSetup, recvMultishot) }

func newRing(f *os.File, setup setupFunc, ioprio uint16) (*Ring, error) {
	in, err := newQueue(4, setup) // 8 completions: a receive makes one a buffer, and its end
	if err != nil {
		return nil, err
	}
	b, err := newBuffers()
	if err != nil {
		in.close()
		return nil, err
	}
	if ioprio != 0 && b.register(in.fd) != nil {
		ioprio = 0
	}
	return &Ring{s: NewSocket(f), in: in, buffers: b, ioprio: ioprio}, nil
}

// TryRead takes what the kernel has received. It makes a system call only when no
// receive is under way.
func (r *Ring) TryRead(p []byte) (n int, err error) {
	r.s.use.RLock()
	defer r.s.use.RUnlock()
	if r.in == nil {
		return 0, os.ErrClosed
	}
	if n = r.received(p); n > 0 || r.end != nil || r.receiving || len(p) == 0 {
		return n, r.endAfter(n)
	}
	if r.flooded {
		if n = r.direct(p); n > 0 || r.end != nil {
			return n, r.endAfter(n)
		}
	}
	r.receive(0)
	n = r.received(p)
	return n, r.endAfter(n)
}

func (r *Ring) endAfter(n int) error {
	if n > 0 {
		return nil
	}
	return r.end
}

// received copies from the buffers that have come.
func (r *Ring) received(p []byte) (n int) {
	for n < len(p) && (len(r.rest) > 0 || r.complete()) {
		m := copy(p[n:], r.rest)
		n, r.rest = n+m, r.rest[m:]
		if m > 0 && len(r.rest) == 0 && r.ioprio != 0 {
			r.buffers.give()
		}
	}
	return n
}

// complete takes one completion, if there is one.
func (r *Ring) complete() bool {
	c, ok, err := r.in.take()
	if err != nil {
		r.end = err
	}
	if !ok || c.userData != tagReceive {
		return ok
	}
	if c.flags&cqeMore == 0 {
		r.receiving = false
	}
	switch errno := unix.Errno(-c.res); {
	case c.res > 0:
		r.keep(&c)
	case c.res == 0:
		r.end = io.EOF
	case errno == unix.ENOBUFS:
		r.flooded = true
	case errno == unix.EINVAL && r.ioprio != 0:
		r.ioprio = 0 // 5.19 has buffer rings, but no multishot
	case errno == unix.ECANCELED, errno == unix.EINTR, errno == unix.EAGAIN:
		// Cancelled also with the thread that asked. It is asked again.
	default:
		r.end = fmt.Errorf("transport: read: %w", errno)
	}
	return true
}

// keep makes what c brought the rest to be read.
func (r *Ring) keep(c *cqe) {
	b, err := r.buffers.whole(), error(nil)
	if r.ioprio != 0 {
		b, err = r.buffers.next(c.flags)
	}
	switch {
	case err != nil:
		r.end = err
	case int(c.res) > len(b):
		r.end = fmt.Errorf("%w: %d bytes in a buffer of %d", errBroken, c.res, len(b))
	default:
		r.rest = b[:c.res]
		r.flooded = r.flooded || r.ioprio == 0 && len(r.rest) == len(b)
	}
}

// direct reads from the socket, which is right only while no receive is under way.
func (r *Ring) direct(p []byte) int {
	n, errno := r.s.transfer(unix.SYS_RECVFROM, p, 0)
	switch {
	case errno == unix.EINTR:
	case errno == unix.EAGAIN:
		r.flooded = false
	case errno != 0:
		r.end = fmt.Errorf("transport: read: %w", errno)
	case n == 0:
		r.end = io.EOF
	}
	return n
}

// receive asks the kernel to receive, and waits for that many completions.
func (r *Ring) receive(completions int) {
	request := sqe{opcode: opRecv, fd: int32(r.s.fd), ioprio: r.ioprio, userData: tagReceive}
	if r.ioprio != 0 {
		request.flags, request.bufGroup = sqeBufferSelect, bufferGroup
	} else {
		b := r.buffers.whole()
		request.addr, request.size = address(b), uint32(len(b))
	}
	if err := r.in.submit(&request, completions); err != nil {
		r.end = err
		return
	}
	r.receiving = true
}

// Await waits for a completion.
func (r *Ring) Await() {
	r.s.use.RLock()
	defer r.s.use.RUnlock()
	switch {
	case r.in == nil || len(r.rest) > 0 || r.flooded || r.end != nil || r.in.ready():
	case !r.receiving:
		r.receive(1)
	default:
		if err := r.in.wait(); err != nil {
			r.end = err
		}
	}
}

// Write writes with plain send. One write is one system call either way, and a
// second ring for sends took about 1.5 µs longer and 20 KiB more. In a common ring
// each send would wake the reader.
func (r *Ring) Write(p []byte) error { return r.s.Write(p) }

// TryWrite is the socket's.
func (r *Ring) TryWrite(p []byte) (int, error) { return r.s.TryWrite(p) }

// Close returns when the kernel is done with the memory and the descriptors are
// closed.
func (r *Ring) Close() error {
	r.s.shutdown() // before the lock is taken: this is what frees those who hold it
	r.s.use.Lock()
	r.release()
	r.s.use.Unlock()
	return r.s.Close()
}

func (r *Ring) release() {
	if r.in == nil {
		return
	}
	if r.stop() == nil {
		r.buffers.close() // or else lost: the kernel may still write there
	}
	r.rest = nil
	r.in.close()
	r.in = nil
}

var errReceiving = errors.New("transport: io_uring: a receive does not end")

// stop ends the receive under way.
func (r *Ring) stop() error {
	cancel := sqe{opcode: opAsyncCancel, addr: tagReceive, userData: tagCancel}
	if r.receiving && r.in.submit(&cancel, 0) != nil {
		return errReceiving
	}
	for r.receiving {
		if r.complete() {
			continue
		}
		if errors.Is(r.end, errBroken) || r.in.wait() != nil {
			return errReceiving
		}
	}
	return nil
}

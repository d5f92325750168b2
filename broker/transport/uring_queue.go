package transport

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What of <linux/io_uring.h> is used here.
const (
	opAsyncCancel = 14
	opRecv        = 27

	sqeBufferSelect = 1 << 5 // in flags
	recvMultishot   = 1 << 1 // in ioprio
	cqeBuffer       = 1 << 0
	cqeMore         = 1 << 1
	cqeBufferShift  = 16
	enterGetEvents  = 1 << 0
	registerBufRing = 22
	featSingleMmap  = 1 << 0
	featFastPoll    = 1 << 5
	offsetSQEs      = 0x10000000
	maxRings        = 64 << 10 // bytes: more than rings of a few entries need
)

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// sqe is struct io_uring_sqe: what the kernel is asked to do.
type sqe struct {
	opcode, flags uint8
	ioprio        uint16
	fd            int32
	off, addr     uint64
	size, opFlags uint32
	userData      uint64
	bufGroup      uint16
	_             uint16
	_             uint32
	_             [2]uint64
}

// cqe is struct io_uring_cqe: what came of it.
type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

// setupFunc is the system call io_uring_setup, which tests have refused.
type setupFunc func(entries uint32, p *params) (fd int, err error)

func ioUringSetup(entries uint32, p *params) (int, error) {
	fd, _, errno := unix.RawSyscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil // the kernel has set FD_CLOEXEC
}

// queue is one io_uring: the two rings shared with the kernel and the three system
// calls. One goroutine at a time uses it.
type queue struct {
	fd          int
	rings, sqes []byte

	sqHead, sqTail *uint32
	slots          []sqe
	cqHead, cqTail *uint32
	cqes           []cqe
}

// ErrNoUring: this kernel, or a rule on this process, refuses io_uring.
var ErrNoUring = errors.New("io_uring is not available here (use the mode socket)")

const disabledSysctl = "/proc/sys/kernel/io_uring_disabled"

// refused says why io_uring_setup failed, as far as that can be known.
func refused(err error) error {
	why := ""
	switch {
	case errors.Is(err, unix.ENOSYS):
		why = ": this kernel is built without it, or a seccomp filter hides it"
	case errors.Is(err, unix.EPERM):
		why = ": a seccomp filter forbids it"
		if v, readErr := os.ReadFile(disabledSysctl); readErr == nil && len(v) > 0 && v[0] != '0' {
			why = ": " + disabledSysctl + " is " + string(v[:1])
		}
	case errors.Is(err, unix.ENOMEM):
		why = ": RLIMIT_MEMLOCK may be too low"
	}
	return fmt.Errorf("transport: %w: io_uring_setup: %w%s", ErrNoUring, err, why)
}

// newQueue makes rings of the given number of submissions, and twice as many
// completions.
func newQueue(entries uint32, setup setupFunc) (*queue, error) {
	var p params
	fd, err := setup(entries, &p)
	if err != nil {
		return nil, refused(err)
	}
	q := &queue{fd: fd}
	if err := q.mapRings(&p); err != nil {
		q.close()
		return nil, fmt.Errorf("transport: %w: %w", ErrNoUring, err)
	}
	return q, nil
}

func (q *queue) mapRings(p *params) (err error) {
	if needed := uint32(featSingleMmap | featFastPoll); p.features&needed != needed {
		return fmt.Errorf("kernel 5.7 or later is needed (features %#x)", p.features)
	}
	size := max(uint64(p.sq.array)+4*uint64(p.sqEntries), uint64(p.cq.cqes)+16*uint64(p.cqEntries))
	if size > maxRings || !powerOfTwo(p.sqEntries) || !powerOfTwo(p.cqEntries) {
		return fmt.Errorf("the kernel made rings of %d and %d entries in %d bytes", p.sqEntries, p.cqEntries, size)
	}
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if q.rings, err = unix.Mmap(q.fd, 0, int(size), prot, flags); err != nil {
		return fmt.Errorf("map the rings: %w", err)
	}
	if q.sqes, err = unix.Mmap(q.fd, offsetSQEs, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), prot, flags); err != nil {
		return fmt.Errorf("map the submissions: %w", err)
	}
	for _, offset := range []uint32{p.sq.head, p.sq.tail, p.sq.array, p.cq.head, p.cq.tail, p.cq.cqes} {
		if uint64(offset)+4 > size || offset%4 != 0 {
			return fmt.Errorf("the kernel put a field at %d of %d bytes", offset, size)
		}
	}
	q.sqHead, q.sqTail = q.word(p.sq.head), q.word(p.sq.tail)
	q.cqHead, q.cqTail = q.word(p.cq.head), q.word(p.cq.tail)
	q.slots = unsafe.Slice((*sqe)(unsafe.Pointer(&q.sqes[0])), p.sqEntries)
	q.cqes = unsafe.Slice((*cqe)(unsafe.Pointer(q.word(p.cq.cqes))), p.cqEntries)
	array := unsafe.Slice(q.word(p.sq.array), p.sqEntries)
	for i := range array {
		array[i] = uint32(i) // slots are used in order
	}
	return nil
}

func powerOfTwo(n uint32) bool { return n != 0 && n&(n-1) == 0 }

func (q *queue) word(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&q.rings[offset])) }

// submit hands one request to the kernel and, in the same system call, waits until
// there are as many completions as asked; it may return before. An error means
// that the kernel has not taken the request.
func (q *queue) submit(request *sqe, completions int) error {
	tail := atomic.LoadUint32(q.sqTail)
	q.slots[tail&uint32(len(q.slots)-1)] = *request
	atomic.StoreUint32(q.sqTail, tail+1)
	for {
		err := q.enter(1, completions)
		if atomic.LoadUint32(q.sqHead) == tail+1 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			atomic.StoreUint32(q.sqTail, tail) // the kernel looks only in enter
			return fmt.Errorf("transport: io_uring_enter: %w", err)
		}
	}
}

// wait waits until there is a completion; it may return before.
func (q *queue) wait() error {
	if err := q.enter(0, 1); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("transport: io_uring_enter: %w", err)
	}
	return nil
}

func (q *queue) enter(submissions, completions int) error {
	call, flags := unix.RawSyscall6, uintptr(0) // the scheduler need not know of what does not wait
	if completions > 0 {
		call, flags = unix.Syscall6, enterGetEvents
	}
	_, _, errno := call(unix.SYS_IO_URING_ENTER, uintptr(q.fd), uintptr(submissions), uintptr(completions), flags, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// errBroken: the kernel's half of a ring makes no sense.
var errBroken = errors.New("transport: io_uring: impossible completion")

// ready reports whether there is a completion: one look at memory.
func (q *queue) ready() bool { return atomic.LoadUint32(q.cqTail) != atomic.LoadUint32(q.cqHead) }

// take takes the oldest completion.
func (q *queue) take() (c cqe, ok bool, err error) {
	head, tail := atomic.LoadUint32(q.cqHead), atomic.LoadUint32(q.cqTail)
	switch n := tail - head; {
	case n == 0:
		return c, false, nil
	case n > uint32(len(q.cqes)):
		return c, false, fmt.Errorf("%w: %d in a ring of %d", errBroken, n, len(q.cqes))
	}
	c = q.cqes[head&uint32(len(q.cqes)-1)]
	atomic.StoreUint32(q.cqHead, head+1)
	return c, true, nil
}

// close gives the rings back. Whoever still has requests under way must not.
func (q *queue) close() {
	for _, m := range [][]byte{q.rings, q.sqes} {
		if m != nil {
			_ = unix.Munmap(m) // fails only for what is not mapped
		}
	}
	_ = unix.Close(q.fd)
}

package ring

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/spin"
)

var (
	// ErrClosed: the region was closed by its owner.
	ErrClosed = errors.New("ring: closed")
	// ErrProtocol: the cell broke the layout's rules. Kill it.
	ErrProtocol = errors.New("ring: protocol violation")
)

// Options size a region. The zero value is the default of each field.
type Options struct {
	// Cap is the bytes of each direction, a power of two of at least 4096.
	// Default 64 KiB. Frames may be larger.
	Cap int
	// MaxFrame is the largest payload taken from the cell. Default 65 MiB.
	MaxFrame int
}

const (
	defaultCap      = 64 << 10
	defaultMaxFrame = 65 << 20
)

func (o Options) withDefaults() (Options, error) {
	if o.Cap == 0 {
		o.Cap = defaultCap
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = defaultMaxFrame
	}
	if o.Cap < 4096 || o.Cap > 1<<30 || o.Cap&(o.Cap-1) != 0 {
		return o, fmt.Errorf("ring: capacity %d is not a power of two from 4096 to 1 GiB", o.Cap)
	}
	return o, nil
}

// Region is one cell's shared memory, seen by the host.
type Region struct {
	mem     []byte
	in, out []byte    // the two data areas
	rules   [2][]byte // that are valid, and for the next; ours to write only
	cap     uint32
	// max is read by the consumer only; the claim lowers it.
	max   atomic.Int64
	memfd int
	bell  *bell

	// mapped is held shared by calls that touch mem outside the two locks
	// below, so that Free can wait for them.
	mapped sync.RWMutex
	closed atomic.Bool
	hungup atomic.Bool

	send   sync.Mutex
	inHead uint32 // ours; never read back from the cell's memory

	recv    sync.Mutex
	outTail uint32 // ours
	// outSeen is the out_head last read and checked: most frames are taken
	// without touching the cell's cache line again.
	outSeen   uint32
	asleep    bool  // Serve waits for the bell and has given recv up
	failed    error // of the frame taken last; nothing is taken after it
	serveSpin spin.Spinner
	pollSpin  spin.Spinner

	ctl      sync.Mutex // one interrupt at a time, and one change of the rules
	replaced uint64     // how often the rules were; ours
}

// New makes a region of sealed shared memory, ready to be given to an executor.
func New(o Options) (*Region, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	size := HeaderSize + 2*o.Cap + RulesSize
	memfd, mem, err := sealedMemory(size)
	if err != nil {
		return nil, err
	}
	b, err := newBell()
	if err != nil {
		return nil, errors.Join(err, unix.Munmap(mem), unix.Close(memfd))
	}
	r := &Region{
		mem: mem, cap: uint32(o.Cap), memfd: memfd, bell: b,
		in: mem[HeaderSize : HeaderSize+o.Cap], out: mem[HeaderSize+o.Cap : HeaderSize+2*o.Cap],
		rules: [2][]byte{mem[size-RulesSize:], mem[rulesAt:HeaderSize]},
	}
	r.max.Store(int64(o.MaxFrame))
	r.word(offMagic).Store(Magic)
	r.word(offCap).Store(r.cap)
	return r, nil
}

// sealedMemory cannot change its size any more: a cell that could shrink it
// would make the host die of SIGBUS.
func sealedMemory(size int) (fd int, mem []byte, err error) {
	fd, err = unix.MemfdCreate("pyisolate-ring", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, nil, fmt.Errorf("ring: create shared memory: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if err = unix.Ftruncate(fd, int64(size)); err != nil {
		return -1, nil, fmt.Errorf("ring: size shared memory to %d bytes: %w", size, err)
	}
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return -1, nil, fmt.Errorf("ring: seal shared memory: %w", err)
	}
	mem, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return -1, nil, fmt.Errorf("ring: map shared memory: %w", err)
	}
	return fd, mem, nil
}

func (r *Region) word(off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.mem[off]))
}

func (r *Region) long(off int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&r.mem[off]))
}

// MemFD is the shared memory, to be passed to a process or mapped again. It
// stays the region's: do not close it.
func (r *Region) MemFD() int { return r.memfd }

// BellFD is the eventfd the cell writes to. It stays the region's.
func (r *Region) BellFD() int { return r.bell.fd }

// Base is the mapping of this process, valid until Free: for an executor that
// runs the cell as a thread.
func (r *Region) Base() unsafe.Pointer { return unsafe.Pointer(&r.mem[0]) }

// Size is the length of the mapping.
func (r *Region) Size() int { return len(r.mem) }

// LimitFrame lowers or raises the largest payload taken from the cell.
func (r *Region) LimitFrame(n int) { r.max.Store(int64(n)) }

// Close makes all calls fail with ErrClosed, those under way included. The
// memory and the descriptors stay until Free. It is idempotent.
func (r *Region) Close() {
	if r.closed.CompareAndSwap(false, true) {
		r.bell.stop()
	}
}

// Hangup says that the cell is gone: what it has written can still be taken,
// then the consumer gets ErrClosed; senders get it at once.
func (r *Region) Hangup() {
	r.mapped.RLock()
	defer r.mapped.RUnlock()
	if r.hungup.CompareAndSwap(false, true) && r.mem != nil {
		r.bell.ring()
	}
}

// Free closes the region and gives its memory and descriptors back. The cell
// must be gone.
func (r *Region) Free() error {
	r.Close()
	r.send.Lock()
	defer r.send.Unlock()
	r.recv.Lock()
	defer r.recv.Unlock()
	r.mapped.Lock()
	defer r.mapped.Unlock()
	if r.mem == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(r.mem), unix.Close(r.memfd), r.bell.close())
	r.mem, r.in, r.out, r.rules = nil, nil, nil, [2][]byte{}
	if err != nil {
		return fmt.Errorf("ring: free: %w", err)
	}
	return nil
}

// All names, to Interrupt, all that runs for the guest in place of one operation: its
// threads, too, and for good.
const All = ^uint64(0)

// Interrupt asks the cell to end operation op for reason, a cell.Kind. It is a
// request: the cell may have finished, or may not obey.
func (r *Region) Interrupt(op uint64, reason uint8) {
	r.mapped.RLock()
	defer r.mapped.RUnlock()
	if r.mem == nil {
		return
	}
	r.ctl.Lock()
	defer r.ctl.Unlock()
	r.long(offCtlOp).Store(op)
	r.word(offCtlReason).Store(uint32(reason))
	r.word(offCtlSeq).Add(1)
	futexWake(r.word(offCtlSeq))
}

// Account is what the cell's end counts about itself. Where the cell owns its
// whole process these are claims, not facts.
type Account struct {
	State              State
	TID                int
	MemUsed, MemPeak   int64
	MemDenied, Denials uint64
}

// Account reads the counters; all are zero after Free.
func (r *Region) Account() Account {
	r.mapped.RLock()
	defer r.mapped.RUnlock()
	if r.mem == nil {
		return Account{State: Ended}
	}
	return Account{
		State: State(r.word(offState).Load()), TID: int(r.word(offTID).Load()),
		MemUsed: int64(r.long(offMemUsed).Load()), MemPeak: int64(r.long(offMemPeak).Load()),
		MemDenied: r.long(offMemDenied).Load(), Denials: r.long(offDenials).Load(),
	}
}

// Threads lists the native ids of the cell's threads: its own first, then those
// its guest started and that CPython code has been seen running on.
func (r *Region) Threads() []int {
	r.mapped.RLock()
	defer r.mapped.RUnlock()
	if r.mem == nil {
		return nil
	}
	var tids []int
	if tid := r.word(offTID).Load(); tid != 0 {
		tids = append(tids, int(tid))
	}
	for i := range maxThreads {
		if tid := r.word(offThreads + 4*i).Load(); tid != 0 {
			tids = append(tids, int(tid))
		}
	}
	return tids
}

// ThreadsCPU is the processor time of the guest's threads that have ended.
func (r *Region) ThreadsCPU() time.Duration {
	r.mapped.RLock()
	defer r.mapped.RUnlock()
	if r.mem == nil {
		return 0
	}
	return time.Duration(r.long(offThreadsCPU).Load())
}

// eventFile returns the raw number beside the file, whose Fd method would make
// the descriptor blocking.
func eventFile() (*os.File, int, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, -1, fmt.Errorf("ring: create bell: %w", err)
	}
	return os.NewFile(uintptr(fd), "bell"), fd, nil
}

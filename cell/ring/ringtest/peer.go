// Package ringtest plays the cell's end of a region in Go, for tests of
// whatever holds the host's end. It follows ring.h as the C loop does: its own
// mapping, its own futex sleeps, its own idea of every counter.
package ringtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/ring"
)

// Offsets, written again from ring.h and not taken from package ring, so that
// a mistake in one shows.
const (
	header    = 256 << 10
	rules     = 254 << 10
	state     = 8
	inHead    = 64
	inFull    = 68
	inTail    = 128
	inParked  = 132
	outHead   = 192
	outFull   = 196
	outTail   = 256
	outParked = 260
	ctlSeq    = 320
	ctlReason = 324
	ctlOp     = 328
	memUsed   = 384
)

// ErrStopped is what a blocked call returns after Stop.
var ErrStopped = errors.New("ringtest: stopped")

// Peer is the cell's end. One goroutine may read and one may write.
type Peer struct {
	mem     []byte
	in, out []byte
	cap     uint32
	bell    int
	stopped atomic.Bool
}

// Open maps the region a second time, as a cell in another process does.
func Open(r *ring.Region) (*Peer, error) {
	memfd, err := unix.FcntlInt(uintptr(r.MemFD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("ringtest: duplicate memory: %w", err)
	}
	bell, err := unix.FcntlInt(uintptr(r.BellFD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("ringtest: duplicate bell: %w", err)
	}
	return OpenFDs(memfd, bell)
}

// OpenFDs is Open with descriptors that came another way; it takes them over.
func OpenFDs(memfd, bell int) (*Peer, error) {
	defer func() { _ = unix.Close(memfd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(memfd, &stat); err != nil {
		return nil, fmt.Errorf("ringtest: size of memory: %w", err)
	}
	mem, err := unix.Mmap(memfd, 0, int(stat.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("ringtest: map: %w", err)
	}
	n := (len(mem) - header - rules) / 2
	return &Peer{mem: mem, bell: bell, cap: uint32(n),
		in: mem[header : header+n], out: mem[header+n : header+2*n]}, nil
}

// Close unmaps; no call may be under way.
func (p *Peer) Close() error {
	return errors.Join(unix.Munmap(p.mem), unix.Close(p.bell))
}

// Stop makes blocked calls return ErrStopped within a few milliseconds.
func (p *Peer) Stop() { p.stopped.Store(true) }

// Word is a header word, for tests that lie. The offset is that of ring.h.
func (p *Peer) Word(off int) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&p.mem[off])) }

// SetMemory publishes the memory counters.
func (p *Peer) SetMemory(used, peak int64) {
	(*atomic.Int64)(unsafe.Pointer(&p.mem[memUsed])).Store(used)
	(*atomic.Int64)(unsafe.Pointer(&p.mem[memUsed+8])).Store(peak)
}

// SetState publishes the cell's state.
func (p *Peer) SetState(s ring.State) { p.Word(state).Store(uint32(s)) }

// Interrupted reports the reason to end operation op, 0 for none.
func (p *Peer) Interrupted(op uint64) uint8 {
	named := (*atomic.Uint64)(unsafe.Pointer(&p.mem[ctlOp])).Load()
	if p.Word(ctlSeq).Load() == 0 || named != op && named != ^uint64(0) {
		return 0
	}
	return uint8(p.Word(ctlReason).Load())
}

// InterruptSeq is the number of interrupts so far.
func (p *Peer) InterruptSeq() uint32 { return p.Word(ctlSeq).Load() }

// Pending reports whether the host has written what is not read.
func (p *Peer) Pending() bool { return p.Word(inHead).Load() != p.Word(inTail).Load() }

// Recv reads the next frame from the host.
func (p *Peer) Recv() (ring.Frame, error) {
	var hdr [16]byte
	if err := p.read(hdr[:]); err != nil {
		return ring.Frame{}, err
	}
	f := ring.Frame{Kind: ring.Kind(hdr[4]), Flags: ring.Flags(hdr[5]),
		ID: binary.LittleEndian.Uint64(hdr[8:]), Payload: make([]byte, binary.LittleEndian.Uint32(hdr[:]))}
	return f, p.read(f.Payload)
}

// Send writes one frame to the host.
func (p *Peer) Send(kind ring.Kind, flags ring.Flags, id uint64, payload []byte) error {
	buf := make([]byte, 16, 16+len(payload))
	binary.LittleEndian.PutUint32(buf, uint32(len(payload)))
	buf[4], buf[5] = byte(kind), byte(flags)
	binary.LittleEndian.PutUint64(buf[8:], id)
	return p.Write(append(buf, payload...))
}

func (p *Peer) read(b []byte) error {
	for len(b) > 0 {
		tail := p.Word(inTail).Load()
		head, err := p.awaitInput(tail)
		if err != nil {
			return err
		}
		n := min(uint32(len(b)), head-tail)
		at := copy(b[:n], p.in[tail&(p.cap-1):])
		copy(b[at:n], p.in)
		b = b[n:]
		p.Word(inTail).Swap(tail + n)
		if p.Word(inFull).Swap(0) != 0 {
			p.ring()
		}
	}
	return nil
}

func (p *Peer) awaitInput(tail uint32) (uint32, error) {
	for {
		for range 200 {
			if head := p.Word(inHead).Load(); head != tail {
				return head, nil
			}
		}
		p.Word(inParked).Swap(1)
		if head := p.Word(inHead).Load(); head != tail {
			p.Word(inParked).Store(0)
			return head, nil
		}
		if p.stopped.Load() {
			return 0, ErrStopped
		}
		p.sleep(inHead, tail)
	}
}

// Write puts raw bytes into the out-ring, a frame or what pretends to be one.
func (p *Peer) Write(b []byte) error {
	for len(b) > 0 {
		head := p.Word(outHead).Load()
		free := p.cap - (head - p.Word(outTail).Load())
		if free == 0 {
			if err := p.awaitSpace(head); err != nil {
				return err
			}
			continue
		}
		n := min(uint32(len(b)), free)
		at := copy(p.out[head&(p.cap-1):], b[:n])
		copy(p.out, b[at:n])
		b = b[n:]
		p.Word(outHead).Swap(head + n)
		if p.Word(outParked).Load() != 0 && p.Word(outParked).Swap(0) != 0 {
			p.ring()
		}
	}
	return nil
}

func (p *Peer) awaitSpace(head uint32) error {
	if p.stopped.Load() {
		return ErrStopped
	}
	p.Word(outFull).Swap(1)
	if tail := p.Word(outTail).Load(); head-tail == p.cap {
		p.sleep(outTail, tail)
	}
	return nil
}

// sleep waits while the word has the value, for 5 ms at most so that Stop works.
func (p *Peer) sleep(off int, value uint32) {
	timeout := unix.NsecToTimespec(int64(5 * time.Millisecond))
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p.Word(off))), 0,
		uintptr(value), uintptr(unsafe.Pointer(&timeout)), 0, 0)
}

func (p *Peer) ring() {
	one := [8]byte{1}
	_, _ = unix.Write(p.bell, one[:])
}

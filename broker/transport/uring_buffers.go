package transport

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The memory that receives write to. A busy stream goes past it (see Ring), so two
// buffers of 4 KiB do: one is filled while the other is read. With these, 8 KiB of
// rings and 12 KiB inside the kernel, a Ring takes about 28 KiB.
const (
	bufferBytes = 8 << 10 // in all
	bufferCount = 2       // a power of two
	bufferGroup = 0
	descriptors = bufferCount * 16 // struct io_uring_buf, at the start
)

// buffers are outside Go's heap, because the kernel writes to them in its own
// time. It takes them in order and they come back in order, so the descriptor of a
// buffer never changes and only the tail moves.
type buffers struct {
	mem        []byte
	head, tail uint16 // taken from the ring, and given to it
}

func newBuffers() (*buffers, error) {
	mem, err := unix.Mmap(-1, 0, bufferBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("transport: map receive buffers: %w", err)
	}
	// A fork must not make this process's pages copies of those the kernel holds.
	_ = unix.Madvise(mem, unix.MADV_DONTFORK) // fails only for what is not mapped
	return &buffers{mem: mem}, nil
}

// register offers the buffers as a ring that receives choose from. Kernels before
// 5.19 refuse.
func (b *buffers) register(fd int) error {
	arg := struct {
		addr    uint64
		entries uint32
		group   uint16
		flags   uint16
		_       [3]uint64
	}{addr: address(b.mem), entries: bufferCount, group: bufferGroup}
	if _, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_REGISTER, uintptr(fd), registerBufRing,
		uintptr(unsafe.Pointer(&arg)), 1, 0, 0); errno != 0 {
		return fmt.Errorf("transport: register a buffer ring: %w", errno)
	}
	for i := range bufferCount {
		d := b.mem[16*i:]
		binary.NativeEndian.PutUint64(d, address(b.at(i)))
		binary.NativeEndian.PutUint32(d[8:], uint32(len(b.at(i))))
		if i > 0 { // the first one's is beside the tail
			binary.NativeEndian.PutUint16(d[12:], uint16(i))
		}
		b.give()
	}
	return nil
}

// at is buffer i.
func (b *buffers) at(i int) []byte {
	const size = (bufferBytes - descriptors) / bufferCount
	return b.mem[descriptors+i*size:][:size:size]
}

// whole is all of the memory, for a receive that names it.
func (b *buffers) whole() []byte { return b.mem }

// next takes the buffer that a completion with these flags has filled.
func (b *buffers) next(flags uint32) ([]byte, error) {
	id, want := flags>>cqeBufferShift, uint32(b.head%bufferCount)
	if flags&cqeBuffer == 0 || b.head == b.tail || id != want {
		return nil, fmt.Errorf("%w: flags %#x, for buffer %d", errBroken, flags, want)
	}
	b.head++
	return b.at(int(id)), nil
}

// give gives the oldest taken buffer to the kernel: a store with release order of
// the tail, which shares a word with the first buffer's id, 0.
func (b *buffers) give() {
	b.tail++
	var word [4]byte
	binary.NativeEndian.PutUint16(word[2:], b.tail)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b.mem[12])), binary.NativeEndian.Uint32(word[:]))
}

func (b *buffers) close() { _ = unix.Munmap(b.mem) } // fails only for what is not mapped

func address(p []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))) }

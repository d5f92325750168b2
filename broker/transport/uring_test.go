package transport

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringPair is a Ring and the other end of its socket.
func ringPair(t *testing.T, ioprio uint16) (*Ring, *Socket) {
	t.Helper()
	x, y := mustPair(t)
	r, s := mustRing(t, x, ioprio), NewSocket(y)
	t.Cleanup(func() { _, _ = r.Close(), s.Close() })
	return r, s
}

// While a receive is under way, TryRead finds what has come in memory alone: here
// every system call on the ring would fail.
func TestLookingIsNoSystemCall(t *testing.T) {
	for name, ioprio := range map[string]uint16{"multishot": recvMultishot, "single-shot": 0} {
		t.Run(name, func(t *testing.T) {
			r, peer := ringPair(t, ioprio)
			p := make([]byte, 3)
			if n, err := r.TryRead(p); n != 0 || err != nil {
				t.Fatalf("read %d, %v of nothing", n, err)
			}
			fd := r.in.fd
			r.in.fd = -1
			defer func() { r.in.fd = fd }()
			if err := peer.Write([]byte("abc")); err != nil {
				t.Fatal(err)
			}
			n, err := 0, error(nil)
			for n == 0 && err == nil {
				n, err = r.TryRead(p)
			}
			if err != nil || string(p[:n]) != "abc" {
				t.Errorf("read %q, %v", p[:n], err)
			}
			if _, err := r.TryRead(p); (err != nil) != (ioprio == 0) {
				t.Errorf("the next receive: %v", err) // single shots are asked for again
			}
		})
	}
}

// More than the buffers hold, unread: what follows comes from the socket itself,
// and then, when it is empty, from a receive again.
func TestFlood(t *testing.T) {
	r, peer := ringPair(t, recvMultishot)
	for range 3 {
		if n, err := r.TryRead(make([]byte, 1)); n != 0 || err != nil || !r.receiving {
			t.Fatalf("read %d, %v, receiving %v", n, err, r.receiving)
		}
		sent := make([]byte, 4*bufferBytes)
		if err := peer.Write(sent); err != nil {
			t.Fatal(err)
		}
		if err := readFull(r, sent); err != nil {
			t.Fatal(err)
		}
	}
}

// The kernel cancels what a thread has asked for when the thread ends.
func TestAskingThreadEnds(t *testing.T) {
	for name, ioprio := range map[string]uint16{"multishot": recvMultishot, "single-shot": 0} {
		t.Run(name, func(t *testing.T) {
			r, peer := ringPair(t, ioprio)
			var asker sync.WaitGroup
			asker.Go(func() {
				runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
				if n, err := r.TryRead(make([]byte, 1)); n != 0 || err != nil {
					t.Errorf("read %d, %v of nothing", n, err)
				}
			})
			asker.Wait()
			var reader sync.WaitGroup
			reader.Go(func() {
				if err := readFull(r, make([]byte, 5)); err != nil {
					t.Error(err)
				}
			})
			if err := peer.Write([]byte("hello")); err != nil {
				t.Error(err)
			}
			reader.Wait()
		})
	}
}

// O_NONBLOCK is for read and recv; a receive of a ring waits all the same.
func TestRingOnNonblockingSocket(t *testing.T) {
	x, y := mustPair(t)
	if err := unix.SetNonblock(int(x.Fd()), true); err != nil {
		t.Fatal(err)
	}
	r := mustRing(t, x, recvMultishot)
	defer func() { _ = r.Close() }()
	if n, err := r.TryRead(make([]byte, 1)); n != 0 || err != nil || !r.receiving {
		t.Errorf("read %d, %v; a receive is under way: %v", n, err, r.receiving)
	}
	_ = y.Close()
}

// The kernel's share beside this is about 12 KiB a ring (Linux 6.18).
func TestRingMemory(t *testing.T) {
	r, _ := ringPair(t, recvMultishot)
	pages := func(m []byte) int { return (len(m) + 4095) / 4096 * 4096 }
	if sum := pages(r.in.rings) + pages(r.in.sqes) + pages(r.buffers.mem); sum > 20<<10 {
		t.Errorf("a ring maps %d bytes", sum)
	}
}

func TestRingIsClosedOnExec(t *testing.T) {
	r, _ := ringPair(t, recvMultishot)
	flags, err := unix.FcntlInt(uintptr(r.in.fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v", flags, err)
	}
}

// Close gives everything back: descriptors and mappings.
func TestCloseLeavesNothing(t *testing.T) {
	held := func() (fds, mappings int) {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		maps, mapsErr := os.ReadFile("/proc/self/maps")
		if err := errors.Join(err, mapsErr); err != nil {
			t.Fatal(err)
		}
		return len(entries), bytes.Count(maps, []byte("io_uring"))
	}
	cycle := func() {
		r, peer := ringPair(t, recvMultishot)
		if n, err := r.TryRead(make([]byte, 1)); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		if err := errors.Join(peer.Write([]byte("unread")), r.Close(), peer.Close()); err != nil {
			t.Fatal(err)
		}
		if r.receiving {
			t.Fatal("a receive is still under way")
		}
	}
	cycle()
	fds, mappings := held()
	for range 100 {
		cycle()
	}
	if d, m := held(); d > fds || m > mappings {
		t.Errorf("%d descriptors and %d mappings, before it was %d and %d", d, m, fds, mappings)
	}
}

// What the kernel must never do is refused, and not followed out of bounds.
func TestImpossibleCompletions(t *testing.T) {
	tests := map[string]func(r *Ring, head, tail *uint32, c *cqe){
		"more than fit":      func(_ *Ring, head, tail *uint32, _ *cqe) { *tail = *head + 9 },
		"tail behind head":   func(_ *Ring, head, tail *uint32, _ *cqe) { *tail = *head - 1 },
		"longer than buffer": func(_ *Ring, _, _ *uint32, c *cqe) { c.res = bufferBytes },
		"no buffer":          func(_ *Ring, _, _ *uint32, c *cqe) { c.flags = 0 },
		"another buffer":     func(_ *Ring, _, _ *uint32, c *cqe) { c.flags = cqeBuffer | 1<<cqeBufferShift },
		"unknown buffer":     func(_ *Ring, _, _ *uint32, c *cqe) { c.flags = cqeBuffer | 0xffff<<cqeBufferShift },
		"buffer not given":   func(r *Ring, _, _ *uint32, _ *cqe) { r.buffers.tail = r.buffers.head },
		"longer, single shot": func(r *Ring, _, _ *uint32, c *cqe) {
			r.ioprio, c.res = 0, bufferBytes+1
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			var head, tail uint32 = 0, 1
			c := make([]cqe, 8)
			c[0] = cqe{userData: tagReceive, res: 10, flags: cqeBuffer}
			r := &Ring{s: &Socket{}, ioprio: recvMultishot, in: &queue{cqHead: &head, cqTail: &tail, cqes: c},
				buffers: &buffers{mem: make([]byte, bufferBytes), tail: bufferCount}}
			spoil(r, &head, &tail, &c[0])
			if n, err := r.TryRead(make([]byte, 2*bufferBytes)); n != 0 || !errors.Is(err, errBroken) {
				t.Errorf("read %d, %v", n, err)
			}
		})
	}
}

// The structures shared with the kernel have its layout.
func TestLayout(t *testing.T) {
	var p params
	for name, c := range map[string]struct{ got, want uintptr }{
		"params":           {unsafe.Sizeof(p), 120},
		"params.sq":        {unsafe.Offsetof(p.sq), 40},
		"params.cq":        {unsafe.Offsetof(p.cq), 80},
		"sqe":              {unsafe.Sizeof(sqe{}), 64},
		"sqe.userData":     {unsafe.Offsetof(sqe{}.userData), 32},
		"sqe.bufGroup":     {unsafe.Offsetof(sqe{}.bufGroup), 40},
		"cqe":              {unsafe.Sizeof(cqe{}), 16},
		"buffers together": {descriptors + bufferCount*uintptr(len((&buffers{mem: make([]byte, bufferBytes)}).at(0))), bufferBytes},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, not %d", name, c.got, c.want)
		}
	}
}

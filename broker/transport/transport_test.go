package transport

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// kinds are what must behave alike. Each takes a connected stream socket over.
var kinds = []struct {
	name string
	open func(testing.TB, *os.File) Transport
}{
	{"socket", func(_ testing.TB, f *os.File) Transport { return NewSocket(f) }},
	{"polled", func(t testing.TB, f *os.File) Transport {
		p, err := NewPolled(f)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}},
	{"ring", func(t testing.TB, f *os.File) Transport { return mustRing(t, f, recvMultishot) }},
	{"ring-single-shot", func(t testing.TB, f *os.File) Transport { return mustRing(t, f, 0) }},
	{"ring-multishot-refused", func(t testing.TB, f *os.File) Transport { return mustRing(t, f, recvMultishot|unknownFlag) }},
	{"stream", func(t testing.TB, f *os.File) Transport {
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		return NewStream(c)
	}},
}

// unknownFlag makes a kernel refuse a receive as one without multishot does.
const unknownFlag = 1 << 15

func mustRing(t testing.TB, f *os.File, ioprio uint16) *Ring {
	t.Helper()
	r, err := newRing(f, ioUringSetup, ioprio)
	if err != nil {
		t.Skip(err)
	}
	return r
}

// forEach runs test with each kind, at both ends of a socket.
func forEach(t *testing.T, test func(t *testing.T, pair func() (a, b Transport))) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			test(t, func() (a, b Transport) {
				x, y := mustPair(t)
				a, b = k.open(t, x), k.open(t, y)
				t.Cleanup(func() { _, _ = a.Close(), b.Close() })
				return a, b
			})
		})
	}
}

// socketBuffer is how much the kernel stores in a socket; it doubles what it is told.
const socketBuffer = 256 << 10

func mustPair(t testing.TB) (*os.File, *os.File) {
	t.Helper()
	x, y, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = x.Close(), y.Close() })
	for _, f := range []*os.File{x, y} { // the same everywhere, for TestBackpressure
		if err := unix.SetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer/2); err != nil {
			t.Fatal(err)
		}
	}
	return x, y
}

// readFull reads all of p, waiting as it must.
func readFull(from Transport, p []byte) error {
	for len(p) > 0 {
		n, err := from.TryRead(p)
		if err != nil {
			return err
		}
		if n == 0 {
			from.Await()
		}
		p = p[n:]
	}
	return nil
}

// sizes of writes: about those of buffers, and far from them.
var sizes = []int{1, 2, 63, 64, 1000, 1024, 4079, 4080, 4081, 8160, 8191, 8192, 8193, 16384, 16897, 65536, 200000, 1 << 20}

// Two streams of random bytes, in writes and reads of many sizes.
func TestOrderAndWholeness(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		a, b := pair()
		var all sync.WaitGroup
		for seed, way := range [][2]Transport{{a, b}, {b, a}} {
			all.Go(func() { writeRandom(t, way[0], uint64(seed)) })
			all.Go(func() { readRandom(t, way[1], uint64(seed)) })
		}
		all.Wait()
	})
}

const randomBytes = 6 << 20

func randomStream(seed uint64) (*rand.ChaCha8, *rand.Rand) {
	return rand.NewChaCha8([32]byte{byte(seed)}), rand.New(rand.NewPCG(seed, 1))
}

func writeRandom(t *testing.T, to Transport, seed uint64) {
	data, choice := randomStream(seed)
	buf := make([]byte, 1<<20)
	for left := randomBytes; left > 0; {
		p := buf[:min(left, sizes[choice.IntN(len(sizes))])]
		_, _ = data.Read(p)
		if err := to.Write(p); err != nil {
			t.Error(err)
			return
		}
		clear(p) // Write is done with it
		left -= len(p)
	}
}

func readRandom(t *testing.T, from Transport, seed uint64) {
	data, choice := randomStream(seed)
	got, want := make([]byte, 1<<20), make([]byte, 1<<20)
	for read := 0; read < randomBytes; {
		size := min(randomBytes-read, sizes[choice.IntN(len(sizes))])
		if err := readFull(from, got[:size]); err != nil {
			t.Errorf("after %d bytes: %v", read, err)
			return
		}
		if _, _ = data.Read(want[:size]); !bytes.Equal(got[:size], want[:size]) {
			t.Errorf("other bytes came among %d after %d", size, read)
			return
		}
		read += size
	}
}

// Small messages there and back: nothing is held back at either end.
func TestPingPong(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		a, b := pair()
		const rounds = 2000
		var echo sync.WaitGroup
		echo.Go(func() {
			p := make([]byte, 100)
			for range rounds {
				if err := errors.Join(readFull(b, p), b.Write(p)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		sent, got := make([]byte, 100), make([]byte, 100)
		for i := range rounds {
			sent[i%100] = byte(i)
			if err := errors.Join(a.Write(sent), readFull(a, got)); err != nil || !bytes.Equal(sent, got) {
				t.Fatalf("round %d: %v", i, err)
			}
		}
		echo.Wait()
	})
}

func TestTryReadDoesNotWait(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		a, b := pair()
		for range 3 {
			if n, err := a.TryRead(make([]byte, 10)); n != 0 || err != nil {
				t.Fatalf("read %d, %v of nothing", n, err)
			}
		}
		if err := b.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		a.Await()
		if n, err := a.TryRead(nil); n != 0 || err != nil {
			t.Fatalf("read %d, %v into nothing", n, err)
		}
		if err := readFull(a, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	})
}

// A reader that does not read stops the writer: neither end stores what comes.
func TestBackpressure(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		a, b := pair()
		const total, taken = 16 << 20, 1 << 20
		var written atomic.Int64
		var writer sync.WaitGroup
		writer.Go(func() {
			for p := make([]byte, 64<<10); written.Load() < total; written.Add(int64(len(p))) {
				if err := a.Write(p); err != nil {
					t.Error(err)
					return
				}
			}
		})
		got := make([]byte, total)
		if err := readFull(b, got[:taken]); err != nil {
			t.Fatal(err)
		}
		for range 1000 { // chances to go too far
			b.Await()
			runtime.Gosched()
		}
		if ahead := written.Load() - taken; ahead > socketBuffer+2*streamBuffer {
			t.Errorf("the writer is %d bytes ahead", ahead)
		}
		if err := readFull(b, got[taken:]); err != nil {
			t.Fatal(err)
		}
		writer.Wait()
	})
}

// Close comes at any moment: before, while and after the others begin to wait.
func TestCloseFreesWaiters(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		for i := range 100 {
			a, _ := pair()
			var waiters sync.WaitGroup
			waiters.Go(func() {
				if err := readFull(a, make([]byte, 1)); err == nil {
					t.Error("read what nobody wrote")
				}
			})
			waiters.Go(func() {
				if err := a.Write(make([]byte, 2<<20)); err == nil {
					t.Error("wrote what nobody read")
				}
			})
			for range i * 20 {
				runtime.Gosched()
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			waiters.Wait()
		}
	})
}

// Close while data pours in: the kernel may be writing to buffers at that moment.
func TestCloseAmidTraffic(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		for i := range 50 {
			a, b := pair()
			var traffic sync.WaitGroup
			traffic.Go(func() {
				for p := make([]byte, 3000); b.Write(p) == nil; {
				}
			})
			traffic.Go(func() {
				for p := make([]byte, 1000); readFull(a, p) == nil; {
				}
			})
			for range i * 20 {
				runtime.Gosched()
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			traffic.Wait()
		}
	})
}

func TestAfterClose(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		a, b := pair()
		if err := b.Write([]byte("unread")); err != nil {
			t.Fatal(err)
		}
		a.Await()
		var closers sync.WaitGroup
		for range 4 {
			closers.Go(func() {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		closers.Wait()
		a.Await()
		if n, err := a.TryRead(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("read %d, %v", n, err)
		}
		if err := a.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
			t.Errorf("write: %v", err)
		}
	})
}

func TestEndOfStream(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		a, b := pair()
		last := bytes.Repeat([]byte("last"), 5000)
		if err := errors.Join(b.Write(last), b.Close()); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(last))
		if err := readFull(a, got); err != nil || !bytes.Equal(got, last) {
			t.Fatalf("what was written last: %v", err)
		}
		for range 2 {
			if err := readFull(a, got); !errors.Is(err, io.EOF) {
				t.Errorf("then: %v", err)
			}
		}
		if err := a.Write(last); err == nil {
			t.Error("wrote to nobody")
		}
	})
}

// A peer that ends its reading, and not its writing, is one that is gone: what it had said is
// read, and then comes the end.
func TestPeerReadsNoMore(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			x, y := mustPair(t)
			peer := int(y.Fd())
			a := k.open(t, x)
			defer func() { _ = a.Close() }()
			if _, err := unix.Write(peer, []byte("last")); err != nil {
				t.Fatal(err)
			}
			if err := unix.Shutdown(peer, unix.SHUT_RD); err != nil {
				t.Fatal(err)
			}
			if err := a.Write([]byte("x")); err == nil {
				t.Fatal("wrote to a peer that does not read")
			}
			got := make([]byte, 4)
			err := readFull(a, got)
			if _, ahead := a.(*Stream); ahead && errors.Is(err, io.EOF) {
				return // it had not read that far
			}
			if err != nil || string(got) != "last" {
				t.Errorf("read %q, %v", got, err)
			}
			if err := readFull(a, got); !errors.Is(err, io.EOF) { // a hang here is the failure
				t.Errorf("then: %v", err)
			}
		})
	}
}

// TryWrite writes what there is room for, and nothing when there is none.
func TestTryWriteDoesNotWait(t *testing.T) {
	forEach(t, func(t *testing.T, pair func() (a, b Transport)) {
		a, b := pair()
		sent := bytes.Repeat([]byte("some"), 1<<20)
		written := 0
		for {
			n, err := a.TryWrite(sent[written:])
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			written += n
		}
		if written == len(sent) {
			t.Fatalf("all of %d bytes have found room", written)
		}
		if _, stream := a.(*Stream); !stream && written == 0 {
			t.Error("there was room, and nothing is written")
		}
		got := make([]byte, written)
		if err := readFull(b, got); err != nil || !bytes.Equal(got, sent[:written]) {
			t.Errorf("read something else: %v", err)
		}
		_ = a.Close()
		if _, err := a.TryWrite(sent); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestPeerKilled(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			f, cmd := startPeer(t, "echo")
			a := k.open(t, f)
			defer func() { _ = a.Close() }()
			p := make([]byte, 100)
			if err := errors.Join(a.Write(p), readFull(a, p)); err != nil {
				t.Fatal(err)
			}
			var waiters sync.WaitGroup
			waiters.Go(func() {
				for readFull(a, p[:1]) == nil {
				}
				if err := readFull(a, p[:1]); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("read: %v", err)
				}
			})
			waiters.Go(func() {
				for q := make([]byte, 64<<10); a.Write(q) == nil; {
				}
			})
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			waiters.Wait()
		})
	}
}

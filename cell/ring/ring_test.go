package ring_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/ring/ringtest"
)

// pair is a region and its cell's end; both are freed at the end of the test.
func pair(t testing.TB, o ring.Options) (*ring.Region, *ringtest.Peer) {
	t.Helper()
	r, err := ring.New(o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ringtest.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Free(), p.Close()); err != nil {
			t.Error(err)
		}
	})
	return r, p
}

// echo answers every frame with its payload until it is closed or stopped.
func echo(p *ringtest.Peer) *sync.WaitGroup {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			f, err := p.Recv()
			if err != nil || f.Kind == ring.InClose {
				return
			}
			if p.Send(ring.OutResult, f.Flags, f.ID, f.Payload) != nil {
				return
			}
		}
	})
	return &wg
}

func TestRoundTrip(t *testing.T) {
	for name, size := range map[string]int{"empty": 0, "small": 10, "page": 4096, "larger than the ring": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			r, p := pair(t, ring.Options{Cap: 4096})
			wg := echo(p)
			payload := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			var sent sync.WaitGroup
			sent.Go(func() {
				if err := r.Send(ring.InExec, ring.Stdin, 7, payload[:size/3], payload[size/3:]); err != nil {
					t.Error(err)
				}
			})
			f, err := r.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if f.Kind != ring.OutResult || f.ID != 7 || f.Flags != ring.Stdin || !bytes.Equal(f.Payload, payload) {
				t.Fatalf("got kind %d id %d flags %d and %d bytes", f.Kind, f.ID, f.Flags, len(f.Payload))
			}
			sent.Wait()
			if err := r.Send(ring.InClose, 0, 0); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
		})
	}
}

func TestCloseEndsBlockedCalls(t *testing.T) {
	r, _ := pair(t, ring.Options{Cap: 4096})
	errs := make(chan error, 3)
	go func() { _, err := r.Recv(); errs <- err }()
	go func() { errs <- r.Send(ring.InExec, 0, 1, make([]byte, 10000)) }()
	go func() { errs <- r.Send(ring.InExec, 0, 2, make([]byte, 10000)) }()
	r.Close()
	for range 3 {
		if err := <-errs; !errors.Is(err, ring.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
}

func TestUseAfterFree(t *testing.T) {
	r, err := ring.New(ring.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Free(), r.Free()); err != nil {
		t.Fatal(err)
	}
	if err := r.Send(ring.InExec, 0, 1); !errors.Is(err, ring.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	if _, err := r.TrySend(ring.InExec, 0, 1); !errors.Is(err, ring.ErrClosed) {
		t.Errorf("TrySend: %v", err)
	}
	if _, err := r.Recv(); !errors.Is(err, ring.ErrClosed) {
		t.Errorf("Recv: %v", err)
	}
	if err := r.Poll(time.Microsecond, func() bool { return false }, nil); !errors.Is(err, ring.ErrClosed) {
		t.Errorf("Poll: %v", err)
	}
	r.Interrupt(1, 3)
	if a := r.Account(); a.State != ring.Ended {
		t.Errorf("state after Free is %d", a.State)
	}
}

func TestTrySendWritesAllOrNothing(t *testing.T) {
	r, p := pair(t, ring.Options{Cap: 4096})
	for i := range 4 {
		if ok, err := r.TrySend(ring.InAnswer, 0, uint64(i), make([]byte, 1008)); !ok || err != nil {
			t.Fatalf("frame %d: %v %v", i, ok, err)
		}
	}
	if ok, err := r.TrySend(ring.InAnswer, 0, 9, nil); ok || err != nil {
		t.Fatalf("a frame fitted into a full ring: %v %v", ok, err)
	}
	for i := range 4 {
		if f, err := p.Recv(); err != nil || f.ID != uint64(i) {
			t.Fatalf("frame %d: %+v %v", i, f.ID, err)
		}
	}
	if ok, err := r.TrySend(ring.InAnswer, 0, 9, nil); !ok || err != nil {
		t.Fatalf("no space after reading: %v %v", ok, err)
	}
}

func TestInterruptReachesCell(t *testing.T) {
	r, p := pair(t, ring.Options{})
	r.Interrupt(5, 3)
	if got := p.Interrupted(5); got != 3 {
		t.Errorf("reason of operation 5 is %d, want 3", got)
	}
	if got := p.Interrupted(6); got != 0 {
		t.Errorf("operation 6 is interrupted for %d", got)
	}
}

func TestAccount(t *testing.T) {
	r, p := pair(t, ring.Options{})
	p.SetMemory(10, 20)
	p.SetState(ring.Busy)
	if a := r.Account(); a.MemUsed != 10 || a.MemPeak != 20 || a.State != ring.Busy {
		t.Errorf("got %+v", a)
	}
}

func TestMemoryCannotShrink(t *testing.T) {
	r, _ := pair(t, ring.Options{})
	if err := unix.Ftruncate(r.MemFD(), 4096); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncating: %v, want EPERM", err)
	}
}

func TestHostileCell(t *testing.T) {
	const maxFrame = 1000
	frame := func(n uint32, kind, reserved byte) []byte {
		return []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), kind, 0, reserved, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	}
	for name, lie := range map[string]func(p *ringtest.Peer) error{
		"head beyond the ring": func(p *ringtest.Peer) error { p.Word(192).Store(1 << 20); return nil },
		"head behind the tail": func(p *ringtest.Peer) error { p.Word(192).Store(^uint32(0)); return nil },
		"payload too long":     func(p *ringtest.Peer) error { return p.Write(frame(maxFrame+1, 2, 0)) },
		"payload of 4 GiB":     func(p *ringtest.Peer) error { return p.Write(frame(^uint32(0), 2, 0)) },
		"kind zero":            func(p *ringtest.Peer) error { return p.Write(frame(0, 0, 0)) },
		"kind unknown":         func(p *ringtest.Peer) error { return p.Write(frame(0, 200, 0)) },
		"reserved bits":        func(p *ringtest.Peer) error { return p.Write(frame(0, 2, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			r, p := pair(t, ring.Options{MaxFrame: maxFrame})
			if err := lie(p); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Recv(); !errors.Is(err, ring.ErrProtocol) {
				t.Errorf("Recv: %v, want ErrProtocol", err)
			}
		})
	}
}

func TestHostileTailOfInRing(t *testing.T) {
	r, p := pair(t, ring.Options{})
	p.Word(128).Store(1)
	if err := r.Send(ring.InExec, 0, 1); !errors.Is(err, ring.ErrProtocol) {
		t.Errorf("Send: %v, want ErrProtocol", err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, n := range []int{-1, 100, 4097, 2 << 30} {
		if r, err := ring.New(ring.Options{Cap: n}); err == nil {
			t.Errorf("capacity %d was accepted", n)
			_ = r.Free()
		}
	}
}

func TestHangupDeliversWhatIsLeft(t *testing.T) {
	r, p := pair(t, ring.Options{})
	for i := range uint64(3) {
		if err := p.Send(ring.OutPost, 0, i, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Write(make([]byte, 7)); err != nil { // died within a header
		t.Fatal(err)
	}
	r.Hangup()
	n := uint64(0)
	err := r.Serve(func(f ring.Frame) error { n++; return nil })
	if n != 3 || !errors.Is(err, ring.ErrClosed) {
		t.Errorf("%d frames, then %v", n, err)
	}
	if err := r.Send(ring.InExec, 0, 1); !errors.Is(err, ring.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
}

func TestHangupWakesSleepers(t *testing.T) {
	r, _ := pair(t, ring.Options{Cap: 4096})
	errs := make(chan error, 2)
	go func() { errs <- r.Serve(func(ring.Frame) error { return nil }) }()
	go func() { errs <- r.Send(ring.InExec, 0, 1, make([]byte, 9000)) }()
	r.Hangup()
	for range 2 {
		if err := <-errs; !errors.Is(err, ring.ErrClosed) {
			t.Error(err)
		}
	}
}

package ring_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/cell/ring"
)

// Callers send and poll while Serve runs: each answer is handled once, in the
// order of its caller, whoever takes it.
func TestPollAndServeShareTheConsumer(t *testing.T) {
	r, p := pair(t, ring.Options{Cap: 4096})
	wg := echo(p)
	const callers, calls = 4, 2000
	var answered [callers]atomic.Uint64
	var wake [callers]chan struct{}
	for i := range wake {
		wake[i] = make(chan struct{}, 1)
	}
	handle := func(f ring.Frame) error {
		who, n := f.ID%callers, f.ID/callers
		if answered[who].Load() != n {
			t.Errorf("caller %d got answer %d after %d", who, n, answered[who].Load())
		}
		answered[who].Store(n + 1)
		wake[who] <- struct{}{}
		return nil
	}
	var serving, calling sync.WaitGroup
	serving.Go(func() {
		if err := r.Serve(handle); !errors.Is(err, ring.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	for who := range uint64(callers) {
		calling.Go(func() {
			payload := make([]byte, 1+who*2500)
			for n := range uint64(calls) {
				if err := r.Send(ring.InCall, 0, n*callers+who, payload); err != nil {
					t.Error(err)
					return
				}
				done := func() bool { return answered[who].Load() > n }
				if err := r.Poll(5*time.Microsecond, done, handle); err != nil {
					t.Error(err)
				}
				<-wake[who]
			}
		})
	}
	calling.Wait()
	if err := r.Send(ring.InClose, 0, 0); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	r.Close()
	serving.Wait()
}

// Any chunking of any frames arrives whole and in order, through any wrap.
func TestChunkingProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, p := pair(t, ring.Options{Cap: 4096})
		sizes := rapid.SliceOfN(rapid.IntRange(0, 9000), 1, 20).Draw(rt, "sizes")
		var wg sync.WaitGroup
		wg.Go(func() {
			for i, n := range sizes {
				if err := p.Send(ring.OutPost, 0, uint64(i), pattern(i, n)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for i, n := range sizes {
				if err := r.Send(ring.InAnswer, 0, uint64(i), pattern(i, n/2), pattern(i, n-n/2)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for i, n := range sizes {
				f, err := p.Recv()
				if want := string(pattern(i, n/2)) + string(pattern(i, n-n/2)); err != nil || string(f.Payload) != want {
					t.Errorf("in-frame %d differs: %v", i, err)
				}
			}
		})
		for i, n := range sizes {
			f, err := r.Recv()
			if err != nil || f.ID != uint64(i) || string(f.Payload) != string(pattern(i, n)) {
				t.Errorf("out-frame %d differs: %v", i, err)
			}
		}
		wg.Wait()
	})
}

func pattern(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed + i*7)
	}
	return b
}

// Whatever a cell writes, and whatever it claims about its counters, the host
// returns a frame or an error and keeps to its bounds.
func FuzzHostileRing(f *testing.F) {
	f.Add([]byte{5, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'}, uint32(21), uint32(0))
	f.Add([]byte{255, 255, 255, 255, 2}, uint32(4096), uint32(0))
	f.Add([]byte{}, uint32(1<<31), uint32(77))
	f.Fuzz(func(t *testing.T, data []byte, head, tail uint32) {
		const maxFrame = 3000
		r, p := pair(t, ring.Options{Cap: 4096, MaxFrame: maxFrame})
		_ = p.Write(data[:min(len(data), 4096)])
		p.Word(192).Store(head)
		p.Word(128).Store(tail)
		closer := time.AfterFunc(time.Millisecond, r.Close) // a cell may leave a frame unfinished
		defer closer.Stop()
		for {
			fr, err := r.Recv()
			if err != nil {
				break
			}
			if len(fr.Payload) > maxFrame {
				t.Fatalf("a frame of %d bytes passed", len(fr.Payload))
			}
		}
		if _, err := r.TrySend(ring.InExec, 0, 1, data); err == nil && tail > 0 && tail < 1<<31 {
			t.Fatal("a send into a ring with a tail ahead of its head passed")
		}
	})
}

func BenchmarkRoundTrip1k(b *testing.B) {
	r, p := pair(b, ring.Options{})
	wg := echo(p)
	payload := make([]byte, 1024)
	answer := make(chan struct{}, 1)
	var got atomic.Uint64
	handle := func(f ring.Frame) error { got.Store(f.ID); answer <- struct{}{}; return nil }
	var serving sync.WaitGroup
	serving.Go(func() { _ = r.Serve(handle) })
	id := uint64(0)
	for b.Loop() {
		id++
		if err := r.Send(ring.InCall, 0, id, payload); err != nil {
			b.Fatal(err)
		}
		_ = r.Poll(20*time.Microsecond, func() bool { return got.Load() == id }, handle)
		<-answer
	}
	_ = r.Send(ring.InClose, 0, 0)
	wg.Wait()
	r.Close()
	serving.Wait()
}

func BenchmarkOneWay1k(b *testing.B) {
	r, p := pair(b, ring.Options{})
	var wg sync.WaitGroup
	payload := make([]byte, 1024)
	b.SetBytes(1024)
	wg.Go(func() {
		for range b.N {
			if p.Send(ring.OutPost, 0, 1, payload) != nil {
				return
			}
		}
	})
	for range b.N {
		if _, err := r.Recv(); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

func BenchmarkSendSmall(b *testing.B) {
	r, p := pair(b, ring.Options{})
	payload := make([]byte, 64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if f, err := p.Recv(); err != nil || f.Kind == ring.InClose {
				return
			}
		}
	})
	for b.Loop() {
		if err := r.Send(ring.InCall, 0, 1, payload); err != nil {
			b.Fatal(err)
		}
	}
	_ = r.Send(ring.InClose, 0, 0)
	wg.Wait()
}

// A frame that breaks the rules ends Serve, whoever of the consumers took it.
func TestBadFrameTakenByPollEndsServe(t *testing.T) {
	for range 50 {
		r, p := pair(t, ring.Options{})
		served := make(chan error, 1)
		go func() { served <- r.Serve(func(ring.Frame) error { return nil }) }()
		go func() { _ = p.Write([]byte{0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) }()
		_ = r.Poll(time.Millisecond, func() bool { return false }, func(ring.Frame) error { return nil })
		select {
		case err := <-served:
			if !errors.Is(err, ring.ErrProtocol) {
				t.Fatalf("Serve: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Serve sleeps on")
		}
	}
}

// Half a frame keeps nobody who looks: the rest may never come. It is Serve that waits.
func TestPollLeavesHalfAFrame(t *testing.T) {
	frame := append([]byte{4, 0, 0, 0, byte(ring.OutPost), 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0}, "text"...)
	for _, n := range []int{1, 8, 15, 16, 19} {
		r, p := pair(t, ring.Options{})
		if err := p.Write(frame[:n]); err != nil {
			t.Fatal(err)
		}
		looked := make(chan error, 1)
		go func() {
			looked <- r.Poll(time.Millisecond, func() bool { return false }, func(ring.Frame) error { return errors.New("a frame") })
		}()
		select {
		case err := <-looked:
			if err != nil {
				t.Errorf("of %d bytes Poll has %v", n, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("Poll waits for what follows %d bytes", n)
		}
		if err := p.Write(frame[n:]); err != nil {
			t.Fatal(err)
		}
		done := errors.New("done")
		err := r.Serve(func(f ring.Frame) error {
			if f.ID != 7 || string(f.Payload) != "text" {
				t.Errorf("after %d bytes Serve has frame %d with %q", n, f.ID, f.Payload)
			}
			return done
		})
		if !errors.Is(err, done) {
			t.Error(err)
		}
	}
}

package wire_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/cell/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func conns(t testing.TB) (a, b wire.Conn) {
	t.Helper()
	a, b = wiretest.Pair(t)
	t.Cleanup(func() {
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
	return a, b
}

func post(id uint64, payload []byte) *wire.Msg {
	return &wire.Msg{Control: &wire.Control{Cell: id, Body: &wire.Control_Post{Post: &wire.Post{Type: 1}}}, Payload: payload}
}

func TestRoundTrip(t *testing.T) {
	for name, m := range map[string]*wire.Msg{
		"empty":   {Control: &wire.Control{}},
		"post":    post(3, []byte("value")),
		"largest": post(4, make([]byte, wire.MaxPayload)),
		"claim": {Control: &wire.Control{Cell: 1, Op: 2, DeadlineNs: 3, Trace: "00-ab-cd-01",
			Body: &wire.Control_Claim{Claim: &wire.Claim{Name: "json", Limits: &wire.Limits{Memory: 9}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := conns(t)
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := a.Send(m); err != nil {
					t.Error(err)
				}
			})
			got, err := b.Recv()
			if err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			if d := cmp.Diff(m.Control, got.Control, protocmp.Transform()); d != "" {
				t.Error(d)
			}
			if !bytes.Equal(m.Payload, got.Payload) {
				t.Errorf("payload of %d bytes came as %d", len(m.Payload), len(got.Payload))
			}
		})
	}
}

func TestManySendersKeepTheirOrder(t *testing.T) {
	a, b := conns(t)
	const senders, each = 8, 500
	var wg sync.WaitGroup
	for s := range uint64(senders) {
		wg.Go(func() {
			for i := range uint64(each) {
				m := post(s, bytes.Repeat([]byte{byte(s)}, int(i)))
				m.Op = i
				if err := a.Send(m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var next [senders]uint64
	for range senders * each {
		m, err := b.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.Op != next[m.Cell] || len(m.Payload) != int(m.Op) {
			t.Fatalf("sender %d: message %d of %d bytes, want %d", m.Cell, m.Op, len(m.Payload), next[m.Cell])
		}
		next[m.Cell]++
	}
	wg.Wait()
}

func TestTooLargeSendsNothing(t *testing.T) {
	a, b := conns(t)
	for name, m := range map[string]*wire.Msg{
		"payload": post(1, make([]byte, wire.MaxPayload+1)),
		"control": {Control: &wire.Control{Trace: string(make([]byte, wire.MaxControl))}},
	} {
		if err := a.Send(m); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
	if err := a.Send(post(2, nil)); err != nil {
		t.Fatal(err)
	}
	if m, err := b.Recv(); err != nil || m.Cell != 2 {
		t.Fatalf("after refused messages: %v %v", m, err)
	}
}

func TestCloseEndsBothSides(t *testing.T) {
	a, b := conns(t)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Recv(); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("peer's Recv: %v", err)
	}
	if _, err := a.Recv(); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("own Recv: %v", err)
	}
	if err := a.Send(post(1, nil)); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("own Send: %v", err)
	}
}

// A reader that stands still makes senders wait, not memory grow; closing
// frees them.
func TestCloseFreesWaitingSenders(t *testing.T) {
	a, _ := conns(t)
	var wg sync.WaitGroup
	failed := make(chan error, 4)
	for range 4 {
		wg.Go(func() {
			for {
				if err := a.Send(post(1, make([]byte, 1<<20))); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	_ = a.Close()
	wg.Wait()
	for range 4 {
		if err := <-failed; !errors.Is(err, wire.ErrClosed) {
			t.Errorf("waiting Send: %v", err)
		}
	}
}

// An idle connection keeps no buffer, whatever it has carried.
func TestIdleConnectionKeepsNoBuffers(t *testing.T) {
	a, b := conns(t)
	for _, size := range []int{10, 100 << 10, 5 << 20, 10} {
		var other sync.WaitGroup
		other.Go(func() {
			if m, err := b.Recv(); err != nil || len(m.Payload) != size {
				t.Errorf("%d bytes: %v", size, err)
			}
			if _, err := b.Recv(); err != nil { // waits, and so gives its buffers back
				t.Error(err)
			}
		})
		for range 2 {
			if err := a.Send(post(1, make([]byte, size))); err != nil {
				t.Fatal(err)
			}
		}
		other.Wait()
		if kept := wire.Queued(a); kept != 0 {
			t.Errorf("after %d bytes the sender keeps %d", size, kept)
		}
	}
	ended := make(chan error)
	go func() {
		_, err := b.Recv()
		ended <- err
	}()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, wire.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
	if kept := wire.Received(b); kept > 70<<10 {
		t.Errorf("the receiver keeps %d bytes", kept)
	}
}

func TestErrorsCross(t *testing.T) {
	in := &cell.Error{Kind: cell.PolicyDenied, Message: "no", Type: "E", Traceback: "tb",
		Denial: &cell.Denial{Cell: "c", Capability: "net", Action: "connect", Rule: "r"}}
	out := wire.ToError(wire.FromError(in))
	if d := cmp.Diff(in, out); d != "" {
		t.Error(d)
	}
	if e := wire.ToError(wire.FromError(errors.New("plain"))); e.Kind != cell.KindUnknown || e.Message != "plain" {
		t.Errorf("plain error became %+v", e)
	}
	long := wire.FromError(cell.Errorf(cell.GuestError, "%s", bytes.Repeat([]byte("é"), 1<<20)))
	if len(long.Message) > 64<<10 {
		t.Errorf("message of %d bytes crosses", len(long.Message))
	}
}

// Posts have a coding of their own, which is proto's.
func TestPostsAreCodedAsProtoDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &wire.Control{Cell: rapid.Uint64().Draw(t, "cell"), Op: rapid.Uint64Max(1).Draw(t, "op"),
			Trace: rapid.SampledFrom([]string{"", "t"}).Draw(t, "trace"),
			Body:  &wire.Control_Post{Post: &wire.Post{Type: rapid.Uint32().Draw(t, "type")}}}
		control, err := proto.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		want := append([]byte{byte(len(control) + 2), 0, 0, 0, byte(len(control))}, append(control, 'x')...)
		got, err := wire.Append(nil, &wire.Msg{Control: c, Payload: []byte("x")})
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v is %x, want %x (%v)", c, got, want, err)
		}
		msgs, err := wire.DecodeAll(want, len(want))
		if err != nil || len(msgs) != 1 || !proto.Equal(msgs[0].Control, c) || string(msgs[0].Payload) != "x" {
			t.Fatalf("%v came as %v, %v", c, msgs, err)
		}
	})
}

// FuzzPost has both read the same of whatever bytes.
func FuzzPost(f *testing.F) {
	for _, c := range []*wire.Control{post(0, nil).Control, post(1<<63, nil).Control, {Cell: 1}, {Op: 9, Body: post(1, nil).Body}} {
		data, err := proto.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\xe2\x02\x01\b")) // a type that is cut off
	f.Fuzz(func(t *testing.T, control []byte) {
		m := wire.DecodePost(control)
		if m == nil {
			return
		}
		want := new(wire.Control)
		if err := proto.Unmarshal(control, want); err != nil || !proto.Equal(m.Control, want) {
			t.Fatalf("%x is a post, %v; proto says %v, %v", control, m.Control, want, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	good, err := wire.Append(nil, post(1, []byte("x")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{255, 255, 255, 255, 0})
	f.Add([]byte{0, 0, 0, 4, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		msgs, err := wire.DecodeAll(data, 1+len(data)/3)
		if err != nil && !errors.Is(err, wire.ErrFormat) {
			t.Fatal(err)
		}
		for _, m := range msgs {
			sent, err := wire.Append(nil, m)
			if err != nil {
				t.Fatalf("received what cannot be sent: %v", err)
			}
			if again, err := wire.DecodeAll(sent, len(sent)); err != nil || len(again) != 1 || !proto.Equal(again[0].Control, m.Control) {
				t.Fatalf("%v is sent as %v, %v", m.Control, again, err)
			}
		}
	})
}

func BenchmarkSendRecv1k(b *testing.B) { benchmarkSendRecv(b, 1024) }

// BenchmarkChunk is a chunk of a state, from one side to the other.
func BenchmarkChunk(b *testing.B) { benchmarkSendRecv(b, cell.MaxChunk) }

func benchmarkSendRecv(b *testing.B, size int) {
	x, y := conns(b)
	m := post(1, make([]byte, size))
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range b.N {
			if x.Send(m) != nil {
				return
			}
		}
	})
	for range b.N {
		got, err := y.Recv()
		if err != nil {
			b.Fatal(err)
		}
		got.Release()
	}
	wg.Wait()
}

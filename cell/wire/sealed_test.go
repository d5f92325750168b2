package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/cell/wire/wiretest"
)

// tap is a transport that keeps, and may change, what is written to it.
type tap struct {
	transport.Transport
	mu      sync.Mutex
	written bytes.Buffer
	writes  int
	last    []byte
	change  func(p []byte) []byte
}

func (t *tap) Write(p []byte) error {
	t.mu.Lock()
	t.written.Write(p)
	t.writes++
	t.last = bytes.Clone(p)
	if t.change != nil {
		p = t.change(bytes.Clone(p))
	}
	t.mu.Unlock()
	return t.Transport.Write(p)
}

func (t *tap) becomes(change func(p []byte) []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change = change
}

func tapped(t *testing.T) (node, host wire.Conn, ours *tap) {
	t.Helper()
	node, host, taps := tappedBoth(t, transport.ModeSocket)
	return node, host, taps["node"]
}

// stream is the transport of what is not a socket.
const stream transport.Mode = "stream"

func open(f *os.File, mode transport.Mode) (transport.Transport, error) {
	if mode != stream {
		return transport.Open(f, mode)
	}
	c, err := net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return transport.NewStream(c), nil
}

func tappedBoth(t *testing.T, mode transport.Mode) (node, host wire.Conn, taps map[string]*tap) {
	t.Helper()
	a, b, err := transport.Pair()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := open(a, mode)
	if errors.Is(err, transport.ErrNoUring) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	taps = map[string]*tap{"node": {Transport: ours}, "host": {Transport: transport.NewSocket(b)}}
	node, host = wiretest.Connect(t, taps["node"], taps["host"])
	t.Cleanup(func() {
		if err := errors.Join(node.Close(), host.Close()); err != nil {
			t.Error(err)
		}
	})
	return node, host, taps
}

// Nothing of a message is on the wire, neither payload nor control, in either
// direction, by any transport of the node.
func TestNoPlaintextOnTheWire(t *testing.T) {
	for _, mode := range []transport.Mode{transport.ModeSocket, transport.ModeUring, stream} {
		t.Run(string(mode), func(t *testing.T) {
			node, host, taps := tappedBoth(t, mode)
			secret := []byte("a payload nobody else may read")
			for n := range 100 {
				m := post(uint64(n), bytes.Repeat(secret, n+1))
				m.Trace = "a-trace-nobody-else-may-read"
				for _, way := range [][2]wire.Conn{{node, host}, {host, node}} {
					if err := way[0].Send(m); err != nil {
						t.Fatal(err)
					}
					if got, err := way[1].Recv(); err != nil || !bytes.Equal(got.Payload, m.Payload) {
						t.Fatalf("message %d: %v", n, err)
					}
				}
			}
			for end, tap := range taps {
				if tap.written.Len() < 100*len(secret) {
					t.Errorf("%s: only %d bytes were recorded", end, tap.written.Len())
				}
				for _, part := range [][]byte{secret, secret[:8], []byte("a-trace-")} {
					if bytes.Contains(tap.written.Bytes(), part) {
						t.Errorf("%q is readable on the wire from the %s", part, end)
					}
				}
			}
		})
	}
}

// What is queued while a write is under way leaves in one write, and what is queued
// for a batch not before it is asked for.
func TestBatchesGrowWithTheLoad(t *testing.T) {
	node, host, ours := tapped(t)
	begun, free := make(chan struct{}), make(chan struct{})
	ours.becomes(func(p []byte) []byte {
		begun <- struct{}{}
		<-free
		return p
	})
	var first sync.WaitGroup
	first.Go(func() {
		if err := node.Send(post(0, nil)); err != nil {
			t.Error(err)
		}
	})
	<-begun
	ours.change = nil // ours.mu is held by the write
	const more = 100
	for n := range uint64(more) {
		if err := node.Send(post(1+n, []byte("small"))); err != nil {
			t.Fatal(err)
		}
	}
	before := ours.writes
	close(free)
	first.Wait()
	for n := range uint64(1 + more) {
		if m, err := host.Recv(); err != nil || m.Cell != n {
			t.Fatalf("message %d: %v, %v", n, m, err)
		}
	}
	if got := ours.writes - before; got != 1 {
		t.Errorf("%d messages that waited left in %d writes", more, got)
	}
	for range more {
		if err := node.Queue(post(7, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if got := ours.writes - before; got != 1 {
		t.Errorf("queued messages left in %d writes before they were to", got-1)
	}
	if err := node.Flush(); err != nil || ours.writes-before != 2 {
		t.Errorf("they left in %d writes, %v", ours.writes-before-1, err)
	}
}

// Whatever is done to what has been sent ends the connection, with nothing
// received that was not sent.
func TestTamperingEndsTheConnection(t *testing.T) {
	genuine := post(7, []byte("genuine"))
	// sent is what a message is on the wire of the connection of that end.
	sent := func(t *testing.T, c wire.Conn, on *tap) []byte {
		t.Helper()
		if err := c.Send(genuine); err != nil {
			t.Fatal(err)
		}
		return on.last
	}
	always := func(change func(p []byte) []byte) func(*testing.T, wire.Conn, *tap) func([]byte) []byte {
		return func(*testing.T, wire.Conn, *tap) func([]byte) []byte { return change }
	}
	for name, attack := range map[string]func(t *testing.T, host wire.Conn, theirs *tap) (change func(p []byte) []byte){
		"bit flip":  always(func(p []byte) []byte { p[len(p)/2] ^= 1; return p }),
		"longer":    always(func(p []byte) []byte { p[0]++; return append(p, 0) }),
		"huge":      always(func(p []byte) []byte { p[3] = 0xff; return p }),
		"cut short": always(func(p []byte) []byte { return p[:len(p)-1] }),
		"plaintext": always(func([]byte) []byte { b, _ := wire.Append(nil, post(1, nil)); return b }),
		"twice":     always(func(p []byte) []byte { return append(p, p...) }),
		"replayed": func(*testing.T, wire.Conn, *tap) func([]byte) []byte {
			var first []byte
			return func(p []byte) []byte {
				if first == nil {
					first = bytes.Clone(p)
				}
				return first
			}
		},
		"reordered": func(*testing.T, wire.Conn, *tap) func([]byte) []byte {
			var held []byte
			return func(p []byte) []byte {
				if held == nil {
					held = p
					return nil
				}
				return append(p, held...)
			}
		},
		"left out": func(*testing.T, wire.Conn, *tap) func([]byte) []byte {
			n := 0
			return func(p []byte) []byte {
				if n++; n == 2 {
					return nil
				}
				return p
			}
		},
		"reflected": func(t *testing.T, host wire.Conn, theirs *tap) func([]byte) []byte {
			own := sent(t, host, theirs)
			return func([]byte) []byte { return own }
		},
		"of another session": func(t *testing.T, _ wire.Conn, _ *tap) func([]byte) []byte {
			other, _, ours := tapped(t)
			alien := sent(t, other, ours)
			return func([]byte) []byte { return alien }
		},
		"spliced": func(t *testing.T, _ wire.Conn, _ *tap) func([]byte) []byte {
			other, _, ours := tapped(t)
			alien := sent(t, other, ours)
			return func(p []byte) []byte { return append(p[:len(p)/2], alien[len(p)/2:]...) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			node, host, taps := tappedBoth(t, transport.ModeSocket)
			taps["node"].becomes(attack(t, host, taps["host"]))
			for range 4 {
				_ = node.Send(genuine)
			}
			_ = node.Close()
			for received := 0; ; received++ {
				m, err := host.Recv()
				if errors.Is(err, wire.ErrFormat) {
					break
				}
				if err != nil {
					t.Fatalf("ends with %v, want ErrFormat", err)
				}
				if received > 0 || string(m.Payload) != "genuine" {
					t.Fatalf("message %d received: %q", received, m.Payload)
				}
			}
			if _, err := host.Recv(); err == nil {
				t.Error("the connection goes on after it")
			}
		})
	}
}

// BenchmarkSealed is one way, sealed here and opened there, on two processors.
func BenchmarkSealed(b *testing.B) {
	for _, mode := range []transport.Mode{transport.ModeSocket, transport.ModeUring} {
		for _, size := range []int{64, 1024} {
			for _, batch := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("%s/%dB/batch%d", mode, size, batch), func(b *testing.B) { benchmarkOneWay(b, mode, size, batch) })
			}
		}
	}
}

func benchmarkOneWay(b *testing.B, mode transport.Mode, size, batch int) {
	fa, fb, err := transport.Pair()
	if err != nil {
		b.Fatal(err)
	}
	ta, err1 := transport.Open(fa, mode)
	tb, err2 := transport.Open(fb, mode)
	if err := errors.Join(err1, err2); err != nil {
		b.Skip(err)
	}
	x, y := wiretest.Connect(b, ta, tb)
	m := post(1, make([]byte, size))
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range b.N {
			send := x.Queue
			if n%batch == batch-1 || n == b.N-1 {
				send = x.Send
			}
			if send(m) != nil {
				return
			}
		}
	})
	for range b.N {
		if _, err := y.Recv(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	wg.Wait()
	if err := errors.Join(x.Close(), y.Close()); err != nil {
		b.Fatal(err)
	}
}

package transport

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/spin"
)

// conn is what is measured: a transport, or net.UnixConn to compare it with.
type conn interface {
	Write(p []byte) error
	read(p []byte) error // all of p
	Close() error
}

// looking reads as package wire does: it looks for a moment and then sleeps.
type looking struct {
	Transport
	spin spin.Spinner
}

func (l *looking) read(p []byte) error {
	for len(p) > 0 {
		var n int
		ok, err := l.spin.UntilYielding(50*time.Microsecond, 4, spin.Sole, func() (bool, error) {
			var err error
			n, err = l.TryRead(p)
			return n > 0, err
		})
		if err != nil {
			return err
		}
		if !ok {
			l.Await()
		}
		p = p[n:]
	}
	return nil
}

type unixConn struct{ net.Conn }

func (c unixConn) read(p []byte) error { _, err := io.ReadFull(c.Conn, p); return err }
func (c unixConn) Write(p []byte) error {
	_, err := c.Conn.Write(p)
	return err
}

func openUnixConn(t testing.TB, f *os.File) conn {
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	return unixConn{c}
}

// bench runs with what is to be compared.
func bench(b *testing.B, run func(b *testing.B, open func(testing.TB, *os.File) conn)) {
	b.Run("net.UnixConn", func(b *testing.B) { run(b, openUnixConn) })
	for _, k := range kinds {
		if k.name != "ring-multishot-refused" { // which is ring-single-shot
			b.Run(k.name, func(b *testing.B) {
				run(b, func(t testing.TB, f *os.File) conn { return &looking{Transport: k.open(t, f)} })
			})
		}
	}
}

// each measures one against a peer of the role, which uses plain read and write in
// a process of its own. A batch is that many messages in one Write. Reported is the
// time a message.
func each(b *testing.B, role string, one func(c conn, batch []byte) error) {
	for _, size := range []int{64, 1024} {
		for _, batch := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%dB/batch=%d", size, batch), func(b *testing.B) {
				bench(b, func(b *testing.B, open func(testing.TB, *os.File) conn) {
					f, _ := startPeer(b, role)
					c := open(b, f)
					defer func() { _ = c.Close() }()
					p := make([]byte, size*batch)
					b.ReportAllocs()
					for b.Loop() {
						if err := one(c, p); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/msg")
				})
			})
		}
	}
}

// BenchmarkSend is one way, to the peer.
func BenchmarkSend(b *testing.B) {
	each(b, "sink", func(c conn, p []byte) error { return c.Write(p) })
}

// BenchmarkReceive is one way, from the peer, which writes 64 KiB at a time.
func BenchmarkReceive(b *testing.B) {
	each(b, "source", func(c conn, p []byte) error { return c.read(p) })
}

// BenchmarkRoundTrip is there and back.
func BenchmarkRoundTrip(b *testing.B) {
	each(b, "echo", func(c conn, p []byte) error {
		if err := c.Write(p); err != nil {
			return err
		}
		return c.read(p)
	})
}

// BenchmarkLook is looking in vain.
func BenchmarkLook(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			f, _ := startPeer(b, "echo")
			c := k.open(b, f)
			defer func() { _ = c.Close() }()
			p := make([]byte, 100)
			for b.Loop() {
				if n, err := c.TryRead(p); n != 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

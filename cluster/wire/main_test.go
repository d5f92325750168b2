package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fabric is a cluster of wires in one process.
type fabric struct {
	authority *pki.Authority

	mu      sync.Mutex
	at      map[string]string
	refused map[string]error
}

func newFabric(t testing.TB) *fabric {
	t.Helper()
	a, err := pki.Create("test")
	if err != nil {
		t.Fatal(err)
	}
	return &fabric{authority: a, at: map[string]string{}, refused: map[string]error{}}
}

func (f *fabric) lookup(node string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.at[node]; ok {
		return a, nil
	}
	return "", fmt.Errorf("no node %s", node)
}

func (f *fabric) allow(p pki.Peer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused[p.Name]
}

func (f *fabric) refuse(name string, why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[name] = why
}

func (f *fabric) place(name, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[name] = address
}

func identity(t testing.TB, a *pki.Authority, name string) *pki.Identity {
	t.Helper()
	r, err := pki.NewRequest(name)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(r.DER(), name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	i, err := r.Accept(cert, a.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// node opens a wire on loopback.
func (f *fabric) node(t testing.TB, name string, l Limits) *Wire {
	t.Helper()
	w, err := Listen(t.Context(), Config{
		Identity: identity(t, f.authority, name), Address: "127.0.0.1:0", Lookup: f.lookup, Allow: f.allow, Limits: l,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.place(name, w.Addr().String())
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// echo serves a stream: what comes goes back, until the wire is closed.
func echo(t testing.TB, w *Wire, s Stream) {
	t.Helper()
	l := w.Listener(s)
	var work sync.WaitGroup
	t.Cleanup(func() { _ = w.Close(); work.Wait() })
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
}

// talk sends a text and waits for it to come back.
func talk(c net.Conn, text string) error {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("%q came back, %q was sent", got, text)
	}
	return nil
}

// mustTalk dials a stream that is echoed and uses it once.
func mustTalk(t testing.TB, from *Wire, node string, s Stream) *Conn {
	t.Helper()
	c, err := from.Dial(t.Context(), node, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := talk(c, "hello"); err != nil {
		t.Fatal(err)
	}
	return c
}

// hangsUp reports whether the other end closes a connection in time.
func hangsUp(c net.Conn) error {
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := io.Copy(io.Discard, c)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return errors.New("it is still open")
	}
	return nil
}

// knock connects like Dial, but by a configuration of its own.
func knock(ctx context.Context, address string, c *tls.Config) error {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return greet(ctx, tls.Client(raw, c))
}

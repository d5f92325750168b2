package control

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/wire"
)

// valve is a connection on which, once it is shut, nothing comes through, and nothing tells of it.
type valve struct {
	net.Conn
	shut   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (v *valve) Write(b []byte) (int, error) {
	select {
	case <-v.shut:
		return len(b), nil
	default:
		return v.Conn.Write(b)
	}
}

func (v *valve) Read(b []byte) (int, error) {
	n, err := v.Conn.Read(b)
	select {
	case <-v.shut:
		<-v.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (v *valve) Close() error {
	v.once.Do(func() { close(v.closed) })
	select {
	case <-v.shut: // the other end does not hear of it
		return nil
	default:
		return v.Conn.Close()
	}
}

// A connection that a cable was pulled from is noticed by both ends.
func TestSilence(t *testing.T) {
	c := newCluster(t)
	c.node(t, "one")
	two := c.node(t, "two")
	h, began, ended := stuck()
	handle(t, two, "stuck", h)
	shut := make(chan struct{})
	idle, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var raw net.Conn
	asker := open(idle, func(ctx context.Context, node string) (net.Conn, error) {
		conn, err := c.wires["one"].Dial(ctx, node, wire.Control)
		if err != nil {
			return nil, err
		}
		raw = conn
		return &valve{Conn: conn, shut: shut, closed: make(chan struct{})}, nil
	}, nil)
	defer func() { _, _ = asker.Close(), raw.Close() }()
	failed := make(chan error, 1)
	go func() {
		_, err := asker.Ask(t.Context(), "two", "stuck", nil)
		failed <- err
	}()
	<-began
	at := time.Now()
	close(shut)
	if err := <-failed; err == nil || errors.Is(err, ErrNotDone) {
		t.Errorf("%v", err)
	}
	asked := time.Since(at)
	<-ended
	t.Logf("noticed after %s by who asks, after %s by who answers", asked, time.Since(at))
	if limit := 5 * (aliveAfter + aliveWithin); time.Since(at) > limit { // TCP alone takes minutes
		t.Errorf("it took longer than %s", limit)
	}
}

package node

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/telemetry/webhook"
)

// A receiver of events that takes them and never answers is no reason for a node to fail when it ends, nor to leave
// anything open: the next one in its place starts.
func TestCloseWithAReceiverThatHangs(t *testing.T) {
	var data string
	receiver := newHole(t)
	n, _, logged := opened(t, func(c *Config) {
		data = c.Data
		c.Webhooks = []webhook.Hook{{URL: "http://" + receiver.Addr().String() + "/", Inner: true}}
	})
	await.That(t, "it is told of the start", func() bool { return receiver.connections() > 0 })
	begun := time.Now()
	if err := n.Close(); err != nil {
		t.Errorf("%v; it logged %s", err, logged)
	}
	if took := time.Since(begun); took >= endWithin {
		t.Errorf("it took %s", took)
	}
	again, _, _ := opened(t, func(c *Config) { c.Data = data })
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// hole is a listener that takes connections and says nothing.
type hole struct {
	net.Listener

	mu   sync.Mutex
	held []net.Conn
}

func newHole(t *testing.T) *hole {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{Listener: l}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.held = append(h.held, c)
			h.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range h.held {
			_ = c.Close()
		}
	})
	return h
}

func (h *hole) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// keepAlive notices within 12 s that the machine at the other end is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 6 * time.Second, Interval: 2 * time.Second, Count: 3}

// Wire is a port between nodes.
type Wire struct {
	c      Config
	port   net.Listener
	door   *door
	open   *conns
	server *tls.Config // of all streams but Join
	join   *tls.Config

	mu        sync.Mutex
	listeners map[Stream]*listener

	ctx   context.Context // ends on Close
	stop  context.CancelFunc
	work  sync.WaitGroup
	quiet *rate.Limiter // of the log
	count counters
}

type counters struct{ accepted, turnedAway, evicted, failed, refused atomic.Uint64 }

// Stats counts since the wire was opened, but for the first two fields.
type Stats struct {
	// Open connections, both ways, and handshakes under way.
	Open, Handshakes int
	// Accepted connections of other nodes.
	Accepted uint64
	// TurnedAway because their address opens too many a second.
	TurnedAway uint64
	// Evicted in the handshake, or while joining, because there were too many at once.
	Evicted uint64
	// Failed handshakes, those evicted in it too: no TLS, no valid certificate, too slow.
	Failed uint64
	// Refused after the handshake: too many of the node, or nobody serves the stream.
	Refused uint64
}

// Listen opens the port. ctx is for the opening; [Wire.Close] ends what was started.
func Listen(ctx context.Context, c Config) (*Wire, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	port, err := (&net.ListenConfig{KeepAliveConfig: keepAlive}).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("open the port between nodes: %w", err)
	}
	w := &Wire{
		c: c, port: port, door: newDoor(c.Limits), open: newConns(),
		server: pki.Server(c.Identity, c.Allow), join: pki.JoinServer(c.Identity),
		listeners: map[Stream]*listener{},
		quiet:     rate.NewLimiter(1, 5),
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.work.Go(w.accept)
	w.work.Go(w.recheck)
	return w, nil
}

// Addr it listens on.
func (w *Wire) Addr() net.Addr { return w.port.Addr() }

// Stats are counts of what came in.
func (w *Wire) Stats() Stats {
	return Stats{
		Open: w.open.len(), Handshakes: w.door.len(),
		Accepted: w.count.accepted.Load(), TurnedAway: w.count.turnedAway.Load(), Evicted: w.count.evicted.Load(),
		Failed: w.count.failed.Load(), Refused: w.count.refused.Load(),
	}
}

// Close ends the port, its listeners and all connections, and waits for the goroutines. The
// connections end without a word, as if the node had died. A second time it does nothing.
func (w *Wire) Close() error {
	w.mu.Lock()
	again := w.ctx.Err() != nil
	w.stop()
	w.mu.Unlock()
	if again {
		return nil
	}
	err := w.port.Close()
	w.mu.Lock()
	for _, l := range w.listeners {
		l.shut()
	}
	w.mu.Unlock()
	for _, c := range w.open.close() {
		c.sever()
	}
	w.work.Wait()
	return err
}

// Recheck closes the connections of nodes that are not allowed or admitted any more, or whose
// certificates have expired. When it returns there are none, and none that was under way will come about.
func (w *Wire) Recheck() {
	for _, c := range w.open.all() {
		if err := w.judge(c); err != nil {
			w.say("a connection between nodes ends", "stream", c.stream, "address", c.RemoteAddr(), "error", err)
			c.sever()
		}
	}
}

// Cut closes what a node and this one have open of a stream, whoever opened it. Others may come about at once.
func (w *Wire) Cut(node string, s Stream) {
	for _, c := range w.open.all() {
		if c.peer.Name == node && c.stream == s {
			c.sever()
		}
	}
}

// judge tells why a connection must not stay.
func (w *Wire) judge(c *Conn) error {
	if c.stream == Join {
		return nil
	}
	if now := time.Now(); now.After(c.peer.NotAfter) {
		return fmt.Errorf("the certificate of %s has expired at %s", c.peer.Name, c.peer.NotAfter.Format(time.RFC3339))
	}
	if err := w.c.Allow(c.peer); err != nil {
		return fmt.Errorf("%w: %s: %w", pki.ErrRevoked, c.peer.Name, err)
	}
	if !c.counted { // who is called may answer
		return nil
	}
	return w.c.Admit(c.stream, c.peer)
}

func (w *Wire) recheck() {
	tick := time.NewTicker(w.c.Limits.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.Recheck()
		case <-w.ctx.Done():
			return
		}
	}
}

// say logs, unless there was much to say already.
func (w *Wire) say(what string, args ...any) {
	if w.quiet.Allow() {
		w.c.Logger.Info(what, args...)
	}
}

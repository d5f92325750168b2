package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/eventstream"
	"github.com/asynkron/protoactor-go/remote"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// Config of a Remote. System and Self are required, and Listener, Peer and Dial, which Over sets.
type Config struct {
	System *actors.System
	// Self is this node's name, which is in its certificate.
	Self string
	// Listener accepts connections of other nodes; Close closes it.
	Listener net.Listener
	// Peer names the node at the other end of an accepted connection, by its certificate. It may
	// read and write; the connection has a deadline meanwhile.
	Peer func(net.Conn) (node string, err error)
	// Dial connects to a node and has made sure that it is that node.
	Dial func(ctx context.Context, node string) (net.Conn, error)
	// Logger is told of links that come and go, and of peers that are refused. Default: nobody is.
	Logger *slog.Logger
}

// Over returns the Config with its connections on a wire.
func (c Config) Over(w *wire.Wire) Config {
	c.Listener = w.Listener(wire.Actors)
	c.Peer = func(conn net.Conn) (string, error) {
		on, is := conn.(*wire.Conn)
		if !is {
			return "", fmt.Errorf("remote: a %T is not from the wire", conn)
		}
		return on.Peer().Name, nil
	}
	c.Dial = func(ctx context.Context, node string) (net.Conn, error) {
		conn, err := w.Dial(ctx, node, wire.Actors)
		if err != nil {
			return nil, err // not a nil *wire.Conn
		}
		return conn, nil
	}
	return c
}

func (c *Config) validate() error {
	switch {
	case c.System == nil, c.Listener == nil, c.Peer == nil, c.Dial == nil:
		return errors.New("remote: System, Listener, Peer and Dial are required")
	case !pki.ValidName(c.Self):
		return fmt.Errorf("remote: %q is no name of a node: use 1 to 63 of a-z, 0-9 and '-'", c.Self)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Remote is a node's way to the cells of others, and theirs to its own. A process has one at a time:
// protoactor sets a global of gRPC when it starts.
type Remote struct {
	config Config
	// session names this life of the node; protoactor tells it to whoever connects.
	session string

	protoactor *actor.ActorSystem
	remote     *remote.Remote
	ended      *eventstream.Subscription
	door       *door
	asked      asked
	rejected   rejected
	topics     topics
	calls      atomic.Uint64
	refused    atomic.Uint64

	life    context.Context // until Close
	end     context.CancelFunc
	working sync.WaitGroup

	mu     sync.Mutex
	closed bool
	links  map[string]*link
	peers  map[string]bool
}

// New starts to listen, and joins the System to those of the other nodes.
func New(c Config) (*Remote, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	r := &Remote{config: c, door: newDoor(), links: map[string]*link{}, peers: map[string]bool{}}
	r.life, r.end = context.WithCancel(context.Background())
	r.protoactor = actor.NewActorSystem(
		// It counts dead letters for so long with a goroutine that nobody can end.
		actor.WithDeadLetterThrottleCount(0), actor.WithDeadLetterThrottleInterval(time.Millisecond),
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(demoted{c.Logger.Handler()}) }),
	)
	r.session = r.protoactor.ID
	if err := r.start(); err != nil {
		r.end()
		r.protoactor.Shutdown()
		return nil, err
	}
	r.ended = r.protoactor.EventStream.Subscribe(r.endpointEnded)
	r.working.Go(r.accept)
	r.working.Go(r.keep)
	c.System.SetBeyond(r)
	return r, nil
}

// start starts protoactor's part, which panics where it cannot.
func (r *Remote) start() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("remote: start: %v", p)
		}
	}()
	r.protoactor.ProcessRegistry.Add(&inbox{r}, target)
	options := append(r.serverOptions(), r.clientOptions()...)
	// Port 0 is never taken. Nobody comes in through it: see door.
	r.remote = remote.NewRemote(r.protoactor, remote.Configure("127.0.0.1", 0, options...))
	r.remote.Start()
	r.door.bell = r.protoactor.Address()
	return nil
}

// Via is the way to the cells of a node, for an entry of actors.Directory.
func (r *Remote) Via(node string) actors.Via { return via{r, node} }

type via struct {
	remote *Remote
	node   string
}

func (v via) Ask(ctx context.Context, env actors.Envelope) actors.Reply {
	return v.remote.Ask(ctx, v.node, env)
}

// Ask sends an envelope to a node and returns what became of it there. When the context ends
// before there is an answer, what runs is interrupted.
func (r *Remote) Ask(ctx context.Context, node string, env actors.Envelope) actors.Reply {
	l, err := r.link(node)
	if err != nil {
		return actors.Reply{Err: err}
	}
	if env.Acknowledged {
		return l.insist(ctx, env)
	}
	reply, _ := l.askOnce(ctx, env, attempt{})
	return reply
}

// link of a node, made when there is none.
func (r *Remote) link(node string) (*link, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.links[node]; l != nil {
		return l, nil
	}
	switch {
	case r.closed:
		return nil, errClosing
	case !pki.ValidName(node) || node == r.config.Self:
		return nil, cell.Errorf(cell.Invalid, "%q is not the name of another node", node)
	}
	l := newLink(r, node)
	r.links[node] = l
	return l, nil
}

var errClosing = cell.Errorf(cell.CellGone, "the node is ending")

// SetPeers says which nodes a link is kept to from now on, so that they know what is heard
// here. Others have one while they are asked. What a node that is not named hears counts no more, until it is named again.
func (r *Remote) SetPeers(nodes []string) {
	r.mu.Lock()
	clear(r.peers)
	for _, node := range nodes {
		if node != r.config.Self {
			r.peers[node] = true
		}
	}
	r.mu.Unlock()
	r.topics.forget(r.isPeer, func(node string) bool { return r.door.of(node) != nil })
}

func (r *Remote) isPeer(node string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[node]
}

// keepEvery is how often the links of peers are looked at.
const keepEvery = 250 * time.Millisecond

func (r *Remote) keep() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		r.mu.Lock()
		peers := slices.Collect(maps.Keys(r.peers))
		r.mu.Unlock()
		for _, node := range peers {
			if l, err := r.link(node); err == nil {
				l.wake()
			}
		}
		select {
		case <-r.life.Done():
			return
		case <-tick.C:
		}
	}
}

// Disconnect ends the links to and from a node that is known to be dead or is no member any more:
// who waits for its answers is told at once that the outcome is unknown, and what it asked for is
// interrupted.
func (r *Remote) Disconnect(node string) {
	r.mu.Lock()
	l := r.links[node]
	r.mu.Unlock()
	if l != nil {
		l.cut(fmt.Errorf("node %s is gone", node))
	}
	r.door.cut(node)
	r.asked.interrupt(node, "")
}

// Stats are of now, but for Refused.
type Stats struct {
	// Links that are up; Visitors are connections of other nodes.
	Links, Visitors int
	// Unanswered questions that this node asked, Unsent bytes that wait for the network, and
	// Answering what it was asked and has not answered.
	Unanswered, Unsent, Answering int
	// Refused is how many connections were ended since the start because of what came over them.
	Refused uint64
}

// Stats counts.
func (r *Remote) Stats() Stats {
	s := Stats{Visitors: r.door.count(), Answering: r.asked.count(), Refused: r.refused.Load()}
	r.mu.Lock()
	links := slices.Collect(maps.Values(r.links))
	r.mu.Unlock()
	for _, l := range links {
		l.mu.Lock()
		if l.state == up {
			s.Links++
		}
		s.Unanswered += len(l.calls)
		s.Unsent += l.unsent
		l.mu.Unlock()
	}
	return s
}

// Close ends all links and returns when nothing is left of them. What is asked for from outside is
// interrupted, and who waits for an answer does not know the outcome.
func (r *Remote) Close() error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	r.config.System.SetBeyond(nil)
	r.end()
	err := r.config.Listener.Close()
	r.door.cutAll()
	r.working.Wait()
	r.shutdown()
	if err != nil {
		return fmt.Errorf("remote: close the listener: %w", err)
	}
	return nil
}

// shutdown ends protoactor's part. Nobody sends any more, and there are no connections: it reads
// without a lock what it writes here, and panics when a stream ends at the same time.
func (r *Remote) shutdown() {
	defer func() {
		if p := recover(); p != nil {
			r.config.Logger.Warn("end protoactor's remote", "panic", p)
			r.remote.Shutdown(false)
		}
	}()
	r.protoactor.EventStream.Unsubscribe(r.ended)
	r.remote.Shutdown(true)
	r.protoactor.Shutdown()
}

// demoted makes everything debug: what matters of what protoactor says is told by links.
type demoted struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h demoted) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (h demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h demoted) WithAttrs(a []slog.Attr) slog.Handler { return demoted{h.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (h demoted) WithGroup(name string) slog.Handler { return demoted{h.Handler.WithGroup(name)} }

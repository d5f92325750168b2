package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cluster/wire"
)

const (
	// MaxSize of a request and of an answer, in bytes.
	MaxSize = 4 << 20

	// Urgent begins topics that have a connection and room of their own: whatever else two nodes ask
	// of each other, such requests are answered. They are for what must not wait, and is done at once.
	Urgent = "urgent/"

	// maxPending is how many requests of one node are under way, and as many that are urgent.
	maxPending = 64
	// readTime is how long a request may take to arrive, once it began.
	readTime = 15 * time.Second
	// aliveAfter is how long nothing may be heard before it is asked for, and within how much.
	aliveAfter, aliveWithin = 2 * time.Second, 2 * time.Second
	// idle is how long a connection is kept that nobody uses.
	idle = 5 * time.Minute
)

// ErrNotDone: the request was not begun. The node cannot be reached, does not know such requests,
// has too many of them, or the request is too large.
var ErrNotDone = errors.New("the request was not begun")

// ErrTurnedAway is an ErrNotDone by which the node itself answered, and so is there.
var ErrTurnedAway = fmt.Errorf("%w: the node turned it away", ErrNotDone)

// Refusal is the error of a handler at another node.
type Refusal struct {
	// Node that was asked.
	Node string
	// Text of the error.
	Text string
}

// Error implements error.
func (r *Refusal) Error() string { return "node " + r.Node + ": " + r.Text }

// Handler answers what a node asks. Several run at once. The text of an error goes to the node.
type Handler func(ctx context.Context, from string, request []byte) ([]byte, error)

// answering is how a topic is answered: by its handler, so many requests of one node at a time.
type answering struct {
	handler Handler
	most    int
}

// room is what requests share that take each other's: of one node, of all topics in it or one.
type room struct {
	node   string
	topic  string // "" of all
	urgent bool
}

// Dial opens a connection to a node.
type Dial func(ctx context.Context, node string) (net.Conn, error)

// Control asks and answers.
type Control struct {
	server *http.Server
	usual  *http.Transport
	urgent *http.Transport
	log    *slog.Logger
	life   context.Context // ends on Close
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	handlers map[string]answering
	pending  map[room]int
	closed   bool
}

// Open serves and uses the stream [wire.Control]. A nil logger discards.
func Open(w *wire.Wire, l *slog.Logger) *Control {
	dial := func(ctx context.Context, node string) (net.Conn, error) {
		c, err := w.Dial(ctx, node, wire.Control)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	return open(w.Listener(wire.Control), dial, l)
}

func open(l net.Listener, dial Dial, log *slog.Logger) *Control {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Control{log: log, handlers: map[string]answering{}, pending: map[room]int{}}
	c.life, c.stop = context.WithCancel(context.Background())
	c.server, c.usual, c.urgent = newServer(c), newTransport(dial), newTransport(dial)
	c.work.Go(func() {
		if err := c.server.Serve(inside{l}); !errors.Is(err, http.ErrServerClosed) {
			log.Info("requests of other nodes are not answered any more", "error", err)
		}
	})
	return c
}

var topicPattern = regexp.MustCompile(`^[a-z0-9/-]{1,64}$`)

// Handle answers requests of one topic from now on: ^[a-z0-9/-]{1,64}$. A nil handler ends that.
// Requests that nobody handles are [ErrNotDone] to those who ask.
func (c *Control) Handle(topic string, h Handler) error { return c.HandleUpTo(topic, maxPending, h) }

// HandleUpTo is Handle for a topic of which no more than so many requests of one node are under way:
// the rest of what it may have is for others. One more is [ErrNotDone] to who asks.
func (c *Control) HandleUpTo(topic string, most int, h Handler) error {
	if !topicPattern.MatchString(topic) {
		return fmt.Errorf("handle requests of topic %.80q: it must match %s", topic, topicPattern)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h == nil {
		delete(c.handlers, topic)
		return nil
	}
	c.handlers[topic] = answering{h, most}
	return nil
}

// Close ends all connections and what is asked on them, ends the contexts of handlers and waits
// for those.
func (c *Control) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	err := c.server.Close()
	c.usual.CloseIdleConnections()
	c.urgent.CloseIdleConnections()
	c.work.Wait()
	return err
}

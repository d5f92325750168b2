package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/time/rate"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/turns"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/policystore/refresh"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Config of a [Server]. What it names is the caller's, to be closed after the server.
type Config struct {
	// Store, Refresher and Reloader keep policies and put them in force.
	Store     *policystore.Store
	Refresher *refresh.Refresher
	Reloader  *live.Reloader
	// Spawner starts cells, Broker does what they ask for.
	Spawner Spawner
	Broker  *capability.Broker
	// Backend of cells that neither their policy nor the client gives a stronger one. A weaker one
	// is had by operators only where the policy names it. Default: the spawner's, and any may be had.
	Backend cell.Backend
	// Keys of plug-ins in documents, the same as the reloader's and the store's; nil: none.
	Keys *document.Keys
	// Logger of refused and failed calls; nil discards them.
	Logger *slog.Logger
	// Recheck is how often the token of a call without a deadline is looked at again.
	// Default 10 s.
	Recheck time.Duration
	// Observer counts, traces and keeps what happens; nil: nobody does, and there are no events.
	Observer *telemetry.Observer
	// Node describes the node for ListNodes; the server adds its cells. Nil: it has no name.
	Node func() *pb.Node
	// Cluster that the node is of; nil: it is by itself.
	Cluster Cluster
	// Fabric is where the cluster's cells are; nil: the node has no others'.
	Fabric Fabric
	// Directory of the names of cells. Default: one of this node alone.
	Directory actors.Directory
	// Drain has the node take no more cells, and waits until nothing is under way in those that it
	// has, or ctx ends. Nil: it cannot.
	Drain func(ctx context.Context) error
	// Checkpoints is where cells' states are kept; nil: they are not.
	Checkpoints *Checkpoints
	// Extra are pages beside the calls, by path: one that ends with a slash has all below it.
	Extra map[string]Page
	// Rate is how many calls a second one principal, and all of one tenant, may begin, in the long
	// run and at once; a principal of a tenant half of that. Default 20,000; negative: as many as
	// they like.
	Rate float64
	// Patience is how long a client may take to send a request of a call without a
	// deadline, and to take each piece of an answer. Default 30 s.
	Patience time.Duration
}

// Bounds of messages, in bytes. The texts of policies and of programs have bounds of their
// own, which are lower.
const (
	maxPolicyMessage = policystore.MaxText + 64<<10
	maxCellMessage   = cell.MaxMessageBytes + 64<<10
	// maxCellAnswer is of an answer to Recv: the largest message after others that were not enough, or that were kept.
	maxCellAnswer   = maxCellMessage + 2*maxKept
	smallMessage    = 64 << 10 // of calls that carry no text of those
	maxHeader       = 16 << 10
	streamedMessage = importPiece*4/3 + smallMessage // of each message of a request that is a stream; JSON has bytes in base64
	maxNodeAnswer   = 1 << 20                        // what another node says of itself, and each event that it has
	// maxRequests is of the requests of all calls under way, as much again of the node's own
	// user's and root's, and twice that of what other nodes pass on.
	maxRequests = 4 * maxCellMessage
)

// ownPages are the server's.
var ownPages = []string{"/openapi.json"}

// Server answers the calls of the API. Its methods may be called from any goroutine.
type Server struct {
	http   *http.Server
	conns  *traffic
	book   *book
	actors *actors.System
	ending context.Context // done when the server is
	end    context.CancelCauseFunc

	transfers *transfers                                    // nil: there are no other nodes
	saveAll   func(ctx context.Context) (saved, failed int) // of the cells
}

// New returns a server that listens nowhere yet.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.Refresher == nil || c.Reloader == nil || c.Spawner == nil || c.Broker == nil {
		return nil, errors.New("api: a server needs a store, a refresher, a reloader, a spawner and a broker")
	}
	if err := validPages(c.Extra); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Recheck == 0 {
		c.Recheck = 10 * time.Second
	}
	if c.Patience == 0 {
		c.Patience = 30 * time.Second
	}
	ctx, end := context.WithCancelCause(context.Background())
	s := &Server{book: newBook(), conns: newTraffic(), ending: ctx, end: end}
	s.actors = actors.New(actors.Options{Directory: c.Directory, Logger: c.Logger, Linger: lingering, Observe: c.Observer.Operation, Events: func(e actors.Event) {
		s.book.happened(e)
		c.Observer.Actor(e)
	}})
	s.book.forget = s.actors.Forget
	c.Observer.Read(telemetry.Sources{Actors: s.actors.Stats, DeadLetters: s.actors.DeadLetters})
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	bounds := newConnections()
	s.http = &http.Server{
		Handler: s.handler(c), Protocols: &protocols, ReadHeaderTimeout: min(shortCall, c.Patience), IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeader, ConnContext: withPeer, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: c.Patience},
		ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
		ConnState: func(c net.Conn, state http.ConnState) {
			s.conns.changed(c, state)
			bounds.changed(c, state)
		},
	}
	return s, nil
}

// streamed are the options of calls whose request is a stream: each message is held whole before it is looked at.
func streamed(s connect.Spec) []connect.HandlerOption {
	if s.StreamType&connect.StreamTypeClient == 0 {
		return nil
	}
	return []connect.HandlerOption{connect.WithReadMaxBytes(streamedMessage)}
}

// handler is all services behind the gate.
func (s *Server) handler(c Config) http.Handler {
	a := &answers{c.Logger}
	around := []connect.Interceptor{a}
	if outer := c.Observer.Interceptor(); outer != nil {
		around = []connect.Interceptor{outer, a}
	}
	options := func(most int) connect.HandlerOption {
		return connect.WithHandlerOptions(connect.WithInterceptors(around...), connect.WithRecover(a.recovered), withJSON(),
			connect.WithReadMaxBytes(most), connect.WithConditionalHandlerOptions(streamed), connect.WithCompression("gzip", nil, nil)) // what is sent is what is held
	}
	j := &judge{document.Options{Keys: c.Keys, Grant: builtin.CheckScope}, turns.New(maxJudging)}
	mux := http.NewServeMux()
	mux.Handle(api.NewPolicyServiceHandler(&policies{store: c.Store, refresher: c.Refresher, judge: j}, options(maxPolicyMessage)))
	own := s.cells(c, j)
	s.saveAll = own.saveAll
	if c.Fabric != nil {
		s.transfers = newTransfers(s.ending, own)
		own.transfers = s.transfers
		mux.Handle(api.NewTransferServiceHandler(s.transfers, options(maxCellMessage)))
	}
	mux.Handle(api.NewCellServiceHandler(c.everywhere(own), options(maxCellMessage)))
	mux.Handle(api.NewNodeServiceHandler(&nodes{describe: c.Node, self: own.node, book: s.book, events: c.hub(), peers: newPeers(c.Fabric)}, options(smallMessage)))
	mux.Handle(api.NewClusterServiceHandler(s.clusters(c, own), options(smallMessage)))
	s.handleStandard(mux, options(smallMessage))
	pages := maps.Clone(c.Extra)
	if pages == nil {
		pages = map[string]Page{}
	}
	pages[ownPages[0]] = Page{Handler: http.HandlerFunc(serveOpenAPI), Role: policystore.Viewer}
	clients, others := newSides(c.Rate)
	return &gate{store: c.Store, tokens: c.Store, at: c.at(), patience: c.Patience, strangers: newRates(c.Rate), logger: c.Logger, observer: c.Observer, errors: connect.NewErrorWriter(), recheck: c.Recheck, ending: s.ending,
		refusing: newShares(refusingSlots, refusingOfOne), refusals: rate.NewLimiter(10, 50),
		clients: clients, nodes: others, calls: mux, pages: pages}
}

// cells are those that the configuration makes.
func (s *Server) cells(c Config, j *judge) *cells {
	out := &cells{logger: c.Logger, store: c.Store, spawner: c.Observer.Spawner(c.Spawner), broker: c.Broker, reloader: c.Reloader,
		backend: c.Backend, judge: j, observer: c.Observer, checkpoints: c.Checkpoints, compiled: newCompiled(), book: s.book, actors: s.actors, node: func() string { return "" }, fabric: c.Fabric, peers: newPeers(c.Fabric)}
	switch {
	case c.Fabric != nil:
		out.node = c.Fabric.Self
	case c.Node != nil:
		out.described = c.Node
		out.node = sync.OnceValue(func() string { return c.Node().GetId() })
	}
	if launcher, ok := c.Spawner.(interface{ Stats() launch.Stats }); ok {
		out.counts = launcher.Stats
	}
	return out
}

// clusters are what the configuration has of one.
func (s *Server) clusters(c Config, own *cells) *clusters {
	out := &clusters{logger: c.Logger, peers: newPeers(c.Fabric), drainer: drainer{book: s.book, actors: s.actors, begin: c.Drain, cells: own}}
	if s.transfers != nil {
		out.turnAway = s.transfers.turnAway
	}
	if c.Cluster != nil {
		out.of = c.Cluster
	}
	return out
}

// at is what the names of principals end with that a kernel vouches for, where there are several.
func (c Config) at() string {
	if c.Fabric == nil {
		return ""
	}
	return "@" + c.Fabric.Self()
}

// hub has the node's events, nil where nobody keeps them.
func (c Config) hub() *events.Hub {
	if c.Observer == nil {
		return nil
	}
	return c.Observer.Events
}

// Actors are the node's cells: whoever embeds the node reaches them as clients do, and their
// Sender is for the broker's capability send. They end with the server.
func (s *Server) Actors() *actors.System { return s.actors }

// Handler is what Serve serves, for a listener of the caller's own. Clients of it need
// tokens.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Serve answers on l until Close; then its error is nil. On a unix socket clients are known
// by their users.
func (s *Server) Serve(l net.Listener) error {
	if socket, ok := l.(*net.UnixListener); ok {
		l = newPeerListener(socket)
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: serve: %w", err)
	}
	return nil
}

// partWithin is how long clients have to take their last answers: one that reads nothing holds up
// nothing else.
const partWithin = 2 * time.Second

// Close ends all calls and all cells and waits for them until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	s.end(fmt.Errorf("%w: the node ends", fault.ErrUnavailable))
	err := s.partWithClients(ctx)
	s.book.close()
	err = errors.Join(err, s.actors.Close(ctx))
	s.book.kill()
	return err
}

// partWithClients ends their connections. Shutdown alone would wait, too, for those over HTTP/2 that ask for
// nothing: for a second or two.
func (s *Server) partWithClients(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, partWithin)
	defer cancel()
	go func() {
		s.conns.settle(ctx)
		cancel()
	}()
	err := s.http.Shutdown(ctx)
	if ctx.Err() != nil { // this wakes up who writes to them
		err = s.http.Close()
	}
	if err != nil {
		err = fmt.Errorf("api: close: %w", err)
	}
	return err
}

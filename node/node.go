package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/node/fabric"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// State of a node.
type State string

// The states, in their order.
const (
	Starting State = "starting"
	Ready    State = "ready"
	Draining State = "draining"
	Ended    State = "ended"
)

// Errors that a caller can act on, beside *ConfigError.
var (
	// ErrData: the data directory is another's, open to others, or of a newer version.
	ErrData = errors.New("data directory")
	// ErrInUse: another process has the data directory, or listens at the address.
	ErrInUse = errors.New("in use")
)

// settling is how long a cell runs nothing before it counts as idle: answers are on their way then.
const settling = 50 * time.Millisecond

// How long a node waits when it closes. Whoever takes all of his time takes none of the others'.
const (
	endWithin  = 10 * time.Second // for its clients and hosts
	tellWithin = 3 * time.Second  // for those who are told of events and calls
	callWithin = 3 * time.Second  // for what is done for guests
)

// Node is one that runs.
type Node struct {
	config  Config
	logger  *slog.Logger
	started time.Time
	state   atomic.Value // State

	// What Open has opened, nil what it has not.
	data      *dataDir
	observer  observing
	store     *policystore.Store
	refresher *refresh.Refresher
	reloader  *live.Reloader
	kernel    *enforce.Enforcer
	python    pydist.Dist
	launcher  *launch.Launcher
	broker    *capability.Broker
	server    *server.Server
	heir      heir
	listeners []listener
	certs     *certificates
	fabric    *fabric.Fabric   // nil: it is by itself
	cluster   *cluster.Cluster // so is it

	checkpoints *server.Checkpoints
	pruning     context.CancelFunc // nil: nobody prunes
	learned     atomic.Bool        // which checkpoints the cluster needs, once since the start
	abi         atomic.Value       // string: of its cells; none: not known yet

	cells   *spawner
	self    atomic.Pointer[members.Meta] // what it says of itself that does not change; nil: not known yet
	hosts   hostLease
	reduced atomic.Pointer[[]string] // layers that cells go without; nil: not known yet

	serving sync.WaitGroup
	failed  chan error    // of listeners
	closed  chan struct{} // when Close has begun
	once    sync.Once
	err     error // of Close
}

// Open opens a node, which then listens; see the package's documentation for what it answers
// before Open returns. When ctx ends before the node is ready, Open fails, and nothing is left.
func Open(ctx context.Context, c Config) (*Node, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("node: configuration: %w", err)
	}
	n := &Node{config: c, logger: c.Logger, started: time.Now(), cells: newSpawner(newCapacity(c.Cells, c.CapacityMemory)), failed: make(chan error, 1), closed: make(chan struct{})}
	n.state.Store(Starting)
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.state.CompareAndSwap(Starting, Ready)
	n.say()
	n.observer.Ready(n.config.describe())
	return n, nil
}

// Serve waits until ctx ends, or the node can listen no more; then it drains for the time that
// is configured, and closes.
func (n *Node) Serve(ctx context.Context) (err error) {
	select {
	case err = <-n.failed:
	case <-n.closed:
	case <-ctx.Done():
		err = n.drainInTime()
	}
	return errors.Join(err, n.Close())
}

func (n *Node) drainInTime() error {
	within := max(n.config.DrainTimeout, 0)
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := n.Drain(ctx)
	n.save()
	if errors.Is(err, context.DeadlineExceeded) {
		n.logger.Warn("operations were still under way when the node ended", slog.Duration("after", within), slog.Int64("operations", n.cells.underWay()))
		return nil
	}
	return err
}

// Drain makes the node refuse new cells, for good, and waits until no cell runs anything. It
// fails when ctx ends before that. Close ends the wait.
func (n *Node) Drain(ctx context.Context) error {
	if !n.state.CompareAndSwap(Starting, Draining) {
		n.state.CompareAndSwap(Ready, Draining)
	}
	n.cells.drain()
	n.say()
	n.observer.Draining("no more cells are started")
	n.logger.Info("draining: no more cells are started", slog.Int64("operations", n.cells.underWay()))
	if err := n.cells.quiet(ctx, settling); err != nil && !errors.Is(err, errEnded) {
		return fmt.Errorf("node: drain: %w", err)
	}
	return nil
}

// Close ends all cells and what is under way in them, and then the node. A second call waits
// for the first, and returns what it did.
func (n *Node) Close() error {
	n.once.Do(func() {
		n.state.Store(Ended)
		close(n.closed)
		n.cells.end()
		n.err = n.closeParts()
	})
	return n.err
}

// closeParts closes what there is, what needs something before that.
func (n *Node) closeParts() (err error) {
	ending, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if n.fabric != nil {
		n.fabric.Leave()
	}
	n.stopPruning()
	if n.server != nil {
		err = errors.Join(err, n.server.Close(ending))
	}
	for _, l := range n.listeners {
		_ = l.Close() // the server has, if it ever served
	}
	n.serving.Wait()
	if n.certs != nil {
		n.certs.close()
	}
	n.observer.stopWatching()
	if n.reloader != nil {
		n.reloader.Close()
	}
	if n.refresher != nil {
		n.refresher.Close()
	}
	if n.launcher != nil {
		err = errors.Join(err, n.launcher.Close(ending))
	}
	n.observer.close()
	_ = n.kernel.Close() // what cannot be removed now is removed by the next node
	if n.broker != nil {
		calls, cancel := context.WithTimeout(context.Background(), callWithin)
		defer cancel()
		err = errors.Join(err, n.broker.Close(calls))
	}
	err = errors.Join(err, n.closeCluster())
	if n.data != nil {
		err = errors.Join(err, n.data.close())
	}
	return err
}

// State says how it stands.
func (n *Node) State() State {
	s, _ := n.state.Load().(State)
	return s
}

// Config is what the node goes by, with defaults filled in.
func (n *Node) Config() Config { return n.config }

// Addresses are those that it listens on, as clients write them: unix:///PATH, https://HOST:PORT.
func (n *Node) Addresses() (all []string) {
	for _, l := range n.listeners {
		all = append(all, l.address.String())
	}
	return all
}

// Handler is all that the node serves, for a listener of the caller's own. Clients of it need
// tokens.
func (n *Node) Handler() http.Handler { return n.server.Handler() }

// Client returns a client of the node over its first unix socket, which calls as the node's own
// user: an admin. The caller closes it.
func (n *Node) Client() (*client.Client, error) {
	for _, l := range n.listeners {
		if at, ok := l.Addr().(*net.UnixAddr); ok {
			return client.New(client.Config{Socket: at.Name})
		}
	}
	return nil, errors.New("node: it listens on no unix socket: make a client of one of its addresses, with a token")
}

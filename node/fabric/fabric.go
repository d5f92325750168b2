package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// Cluster is what a Fabric needs of its cluster: *cluster.Cluster.
type Cluster interface {
	Self() string
	Group() *group.Group
	Lease() *group.Lease
	Members() []cluster.Member
	Control() *control.Control
	Wire() *wire.Wire
	Via(node string) actors.Via
}

var _ Cluster = (*cluster.Cluster)(nil)

// Config of a Fabric. Node is needed.
type Config struct {
	// Node is what the Fabric asks of its node.
	Node Node
	// Margin is within what time guests end when a lease has lapsed. Default 1 s.
	Margin time.Duration
	// Keep is how long the record of a cell without a checkpoint stays whose node is gone. Default 1 h.
	Keep time.Duration
	// Inherit is told of a cell that has become this node's without its asking, since its node is gone or has
	// yielded it: it must not block. The place is this node's, with a checkpoint that is here. Whoever cannot
	// run it calls Yield; whoever can holds it by Hand until its actor is there. nil: this node takes no such cells, and yields them.
	Inherit func(server.Place)
	// Logger; nil: nobody is told.
	Logger *slog.Logger
}

// Node starts and ends cells.
type Node interface {
	// Kill ends every cell now, and returns when none runs any more, or ctx has ended.
	Kill(ctx context.Context, reason string) error
	// Lease has hosts end themselves at that time of package boottime's clock. It must not block.
	Lease(until time.Duration)
	// Meta is what the node says of itself to the others.
	Meta() members.Meta
	// Room is what its cells have of it.
	Room() Room
}

// Room is what there is for cells, and how much of it they have; bounds of 0 are none.
type Room struct {
	Cells, CellsUsed   int
	Memory, MemoryUsed int64 // bytes
	// Closed is why it takes no cells now, as "it is draining"; "": it does.
	Closed string
}

// Fabric is a node's part.
type Fabric struct {
	config    Config
	logger    *slog.Logger
	names     names
	calls     transport
	refreshes refresher
	system    atomic.Pointer[actors.System]
	cluster   atomic.Pointer[Cluster] // nil before Bind
	lapses    atomic.Uint64
	life      context.Context // until Close
	end       context.CancelFunc
	work      sync.WaitGroup

	mu      sync.RWMutex
	closed  bool
	leaving bool                                // Release was called: the end of the session gives all names back
	owned   map[actors.Address]directory.Record // by this node, in its session
	claims  map[actors.Address]int              // how many are under way
	giving  map[actors.Address]chan struct{}    // being given back; closed when it was
	lost    map[actors.Address]suspendedSince   // records whose nodes are gone
	hands   map[actors.Address]*hand            // left to those who move them
	arrives map[actors.Address]bool             // came from elsewhere, and has no actor yet as far as is known
	resumes map[actors.Address]uint64           // suspended cells that are being taken up, in which epoch
	heard   chan struct{}                       // closed with the next news, if anybody waits for it
}

type suspendedSince struct {
	epoch uint64
	since time.Time
}

// New makes a Fabric that knows no cluster yet.
func New(c Config) *Fabric {
	if c.Margin == 0 {
		c.Margin = time.Second
	}
	if c.Keep == 0 {
		c.Keep = time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Fabric{config: c, logger: c.Logger, owned: map[actors.Address]directory.Record{}, claims: map[actors.Address]int{}, giving: map[actors.Address]chan struct{}{}, lost: map[actors.Address]suspendedSince{},
		hands: map[actors.Address]*hand{}, arrives: map[actors.Address]bool{}, resumes: map[actors.Address]uint64{}}
	f.life, f.end = context.WithCancel(context.Background())
	f.names.fabric = f
	f.calls.open(f)
	return f
}

// Bind joins it to the cluster that it is the tenant of. It is called once.
func (f *Fabric) Bind(c Cluster) error {
	f.cluster.Store(&c)
	if err := c.Control().Handle(forgetTopic, f.answerForget); err != nil {
		return fmt.Errorf("fabric: %w", err)
	}
	for _, r := range c.Group().Records("") {
		f.noteLost(r)
	}
	f.spawn(f.sweep)
	return nil
}

// Follow tells it the actors that have the cells of this node: what Kill and Forget act on.
func (f *Fabric) Follow(s *actors.System) { f.system.Store(s) }

// Leave has nothing claimed any more, nor given back one by one: the node ends, and the end of its
// session gives all back.
func (f *Fabric) Leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaving = true
}

// Close ends what it does. The cells must have ended. The cluster is closed after it.
func (f *Fabric) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.end()
	f.work.Wait()
	f.calls.close()
}

// spawn does something in a goroutine, unless the Fabric is closed, and says whether it does.
func (f *Fabric) spawn(do func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.work.Go(do)
	}
	return !f.closed
}

// at is the cluster; nil before Bind.
func (f *Fabric) at() Cluster {
	if c := f.cluster.Load(); c != nil {
		return *c
	}
	return nil
}

// Self is this node's name.
func (f *Fabric) Self() string {
	if c := f.at(); c != nil {
		return c.Self()
	}
	return ""
}

// errCutOff is of a node without a lease.
var errCutOff = fmt.Errorf("%w: this node is cut off from the cluster", fault.ErrUnavailable)

// Valid says why nothing may be run or done for a guest now, or nil.
func (f *Fabric) Valid() error {
	if f.Session() == 0 {
		return errCutOff
	}
	return nil
}

// Session is the one in which this node may run cells now; 0: it may not.
func (f *Fabric) Session() uint64 {
	if c := f.at(); c != nil && c.Lease() != nil {
		if seat, valid := c.Lease().Seat(); valid {
			return seat.Session
		}
	}
	return 0
}

// told is an error of the group in the words of callers, to whom it is all the same whether a claim was
// made of which nothing came.
func told(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, group.ErrNoLeader), errors.Is(err, group.ErrClosed), errors.Is(err, directory.ErrNoSession),
		errors.Is(err, group.ErrUncertain), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %v", errCutOff, err) //nolint:errorlint // that a wait here was over is no deadline of the caller's
	}
	return err
}

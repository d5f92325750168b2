package launch

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// Launcher starts hosts and cells. Its methods are safe for several goroutines.
type Launcher struct {
	config  Config
	prefix  string // of cell IDs: this launcher's
	starter *starter
	users   *allot
	waiters sync.WaitGroup // attends
	starts  sync.WaitGroup

	closing  chan struct{}
	guard    stack.Guard // what the node's programs hold
	watches  bool        // files of cells with a policy are the node's to open
	machine  machine
	compiled compiled
	rulings  rulings
	// What cells without a policy put on; probing the kernel for it takes a while.
	confineThread, confineProcess func() *confinement

	mu     sync.Mutex
	closed bool
	places map[hostKey]*place
	spares map[cell.Backend][]*hostproc
	hosts  map[*hostproc]struct{}
	names  map[string]struct{} // tenant/name of live cells
	nextID uint64
	live   map[uint64]struct{} // cells that are not released
	stats  Stats
	// What channels that are closed have carried, cells that have ended have used, and what was
	// told of either.
	traffic wire.Counts
	used    cell.KernelUsage
	totals  totals
	lease   time.Duration // see Lease
}

// ErrClosed is returned by a launcher that was closed.
var ErrClosed = errors.New("launch: closed")

// New returns a launcher; hosts start when they are needed.
func New(c Config) (*Launcher, error) {
	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, fmt.Errorf("launch: make an id: %w", err)
	}
	c = c.withDefaults()
	users, nodes := newAllot(c), readMachine()
	if _, _, err := nodes.placement(c.NUMA); err != nil {
		return nil, err
	}
	backend := func(b cell.Backend) func() *confinement {
		return sync.OnceValue(func() *confinement { return confine(b, c, ruling{}) })
	}
	return &Launcher{confineThread: backend(cell.SubInterpreter), confineProcess: backend(cell.Process),
		config: c, prefix: hex.EncodeToString(id[:]), starter: newStarter(c, users.users, nodes), machine: nodes,
		users: users, closing: make(chan struct{}), guard: c.Kernel.Facts(), watches: c.Kernel.Watches() != "" && c.Confinement != stack.Compatibility, compiled: compiled{of: map[compiledKey]lookedUp{}},
		places: map[hostKey]*place{}, spares: map[cell.Backend][]*hostproc{},
		hosts: map[*hostproc]struct{}{}, names: map[string]struct{}{}, live: map[uint64]struct{}{}}, nil
}

func (l *Launcher) confinement(b cell.Backend, r ruling) *confinement {
	switch {
	case r.confined != nil:
		return r.confined
	case b == cell.Process:
		return l.confineProcess()
	default:
		return l.confineThread()
	}
}

// Spawn claims a cell. What the caller sends next follows the claim in the same ring, so
// it does not wait for a host that has said to have a worker ready; otherwise it returns
// when the host has started one.
func (l *Launcher) Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error) {
	if spec.Backend == "" {
		spec.Backend = l.config.Backend()
	}
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	r, err := rule(spec, l.guard, l.watches)
	if err == nil {
		err = l.compile(spec, &r)
	}
	if err != nil {
		return nil, err
	}
	c, err := l.reserve(spec)
	if err != nil {
		return nil, err
	}
	c.ruling = r
	if err := l.settleCell(ctx, c); err != nil {
		l.release(c)
		return nil, err
	}
	return c, nil
}

// settleCell finds the cell a host that takes its claim.
func (l *Launcher) settleCell(ctx context.Context, c *handle) error {
	for range 3 { // a host may retire or die between choice and claim
		node, err := l.nodeFor(c.spec, c.ruling.fit)
		if err != nil {
			return err
		}
		h, err := l.hostFor(ctx, hostKey{c.spec.Tenant, c.spec.Backend, c.ruling.fit, node}, c.ruling)
		if err != nil {
			return err
		}
		if !h.admit(c) {
			continue
		}
		if err = c.claimIn(ctx, h); err == nil {
			return nil
		}
		h.forget(c)
		c.seatIn(nil)
		if !errors.Is(err, cell.Busy) {
			return err
		}
	}
	return cell.Errorf(cell.Busy, "no host of tenant %s takes claims; try again later", c.spec.Tenant)
}

// claimIn has the host make a worker the cell's.
func (c *handle) claimIn(ctx context.Context, h *hostproc) error {
	if err := ctx.Err(); err != nil { // before a seat is taken in vain
		return cell.Errorf(contextKind(ctx), "before it began: %v", err)
	}
	c.seatIn(h)
	ready, worker, err := c.chooseWorker()
	c.warm = ready
	switch {
	case err != nil:
		return err
	case ready:
		if err = c.claimReady(ctx, worker); err != nil {
			c.rise()
		}
		return err
	default:
		return c.claim(ctx)
	}
}

// reserve gives the cell an ID and its name.
func (l *Launcher) reserve(spec cell.Spec) (*handle, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	l.nextID++
	c := newHandle(l, spec, l.nextID, fmt.Sprintf("%s-%d", l.prefix, l.nextID))
	if c.spec.Name == "" {
		c.spec.Name = "cell-" + c.id
	}
	key := c.spec.Tenant + "/" + c.spec.Name
	if _, taken := l.names[key]; taken {
		return nil, cell.Errorf(cell.Invalid, "tenant %s has a cell named %s already", c.spec.Tenant, c.spec.Name)
	}
	l.names[key] = struct{}{}
	l.live[c.wireID] = struct{}{}
	l.stats.Cells++
	return c, nil
}

func (l *Launcher) release(c *handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := c.spec.Tenant + "/" + c.spec.Name
	if _, held := l.names[key]; held && !c.released {
		delete(l.names, key)
		delete(l.live, c.wireID)
		l.stats.Cells--
	}
	c.released = true
}

// alive reports whether id is that of a cell of any host.
func (l *Launcher) alive(id uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.live[id]
	return ok
}

// Stats counts hosts, cells and claims.
func (l *Launcher) Stats() Stats {
	l.mu.Lock()
	s := l.stats
	s.Hosts = len(l.hosts)
	for h := range l.hosts {
		s.Ready += h.readyNow(l.config.PoolSize)
	}
	l.mu.Unlock()
	if l.users.none != "" {
		s.NoUser = l.users.none
	}
	l.starter.mu.Lock()
	defer l.starter.mu.Unlock()
	s.Namespaces = host.NamespaceNames(l.starter.flags)
	s.NoUring = l.starter.noUring
	if l.starter.denied != nil {
		s.NoNamespace = l.starter.denied.Error()
	}
	return s
}

func (l *Launcher) claimed(c *wire.Claimed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.GetHit() {
		l.stats.PoolHits++
	} else {
		l.stats.PoolMisses++
	}
	l.stats.NoZygote = cmp.Or(l.stats.NoZygote, c.GetNoZygote())
	l.stats.NoUser = cmp.Or(l.stats.NoUser, c.GetNoUser())
}

// Close ends all hosts and their cells. When ctx ends first they are killed.
func (l *Launcher) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.closing)
	l.mu.Unlock()
	l.starts.Wait()
	l.mu.Lock()
	hosts := make([]*hostproc, 0, len(l.hosts))
	for h := range l.hosts {
		hosts = append(hosts, h)
	}
	l.mu.Unlock()
	for _, h := range hosts {
		h.mu.Lock()
		h.verdict = closedVerdict
		h.mu.Unlock()
		_ = h.proc.conn.Close() // the host ends its cells and exits
	}
	var err error
	for _, h := range hosts {
		select {
		case <-h.gone:
		case <-ctx.Done():
			err = fmt.Errorf("launch: close: %w", ctx.Err())
			h.kill("did not end in time")
		}
	}
	l.waiters.Wait()
	l.starter.close()
	return err
}

func contextKind(ctx context.Context) cell.Kind {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return cell.Timeout
	}
	return cell.Cancelled
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/enroll"
	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/remote"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// Cluster is a node's part in its cluster.
type Cluster struct {
	config   Config
	note     note
	log      *slog.Logger
	identity *pki.Identity
	wire     *wire.Wire
	control  *control.Control
	group    *group.Group
	opened   atomic.Pointer[group.Group] // the same, for whom Open has begun
	members  *members.Members
	lease    *group.Lease // nil without a Tenant
	joins    chan error   // of who serves new nodes

	known     atomic.Pointer[known]
	current   atomic.Bool // what is known is what was agreed: a leader is heard
	hints     hints       // what counts beside it when not
	fences    *fences     // that strangers cause
	lookups   atomic.Uint64
	authority atomic.Pointer[pki.Authority]
	remote    atomic.Pointer[remote.Remote]
	policies  atomic.Pointer[policies]
	rotating  sync.Mutex
	retired   bool              // and its log says so
	looking   sync.Mutex        // guards saved and keys
	saved     []byte            // the roster that the file has
	keys      map[string][]byte // of gossip, by their ids

	presence presence
	wake     chan struct{} // something has changed: see keep
	errand   chan struct{} // see errands
	seats    chan struct{} // sessions have changed

	life context.Context // until Close
	stop context.CancelFunc
	work sync.WaitGroup
	once sync.Once
	err  error // of Close
}

// Open takes part in the cluster that Dir is a member's of. It does not wait for the others. It goes
// on until [Cluster.Close], whatever becomes of ctx.
func Open(ctx context.Context, config Config) (*Cluster, error) {
	c, err := load(config)
	if err == nil {
		err = c.start(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("take part in the cluster of %s: %w", config.Dir, err)
	}
	return c, nil
}

// load reads the files.
func load(config Config) (*Cluster, error) {
	n, err := readNote(config.Dir)
	if err != nil {
		return nil, err
	}
	if config, err = config.withDefaults(n); err != nil {
		return nil, err
	}
	c := &Cluster{
		config: config, note: n, log: config.Logger,
		fences: newFences(), wake: make(chan struct{}, 1), errand: make(chan struct{}, 1), seats: make(chan struct{}, 1),
	}
	if c.identity, err = pki.LoadIdentity(filepath.Join(config.Dir, identityFile)); err != nil {
		return nil, err
	}
	k, err := readRoster(config.Dir)
	if err != nil {
		return nil, err
	}
	c.known.Store(&k)
	authority, err := pki.LoadAuthority(filepath.Join(config.Dir, authorityFile))
	if err == nil {
		c.authority.Store(authority)
	} else if !errors.Is(err, errNotExist) {
		return nil, err
	}
	c.life, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// start opens what there is, in the order in which each needs the one before, and what owns
// goroutines last.
func (c *Cluster) start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, c.shut())
		}
	}()
	c.wire, err = wire.Listen(ctx, wire.Config{
		Identity: c.identity, Address: c.config.Listen, Lookup: c.lookup, Allow: c.allow, Admit: c.admitTo,
		Limits: c.config.Limits, Logger: c.log,
	})
	if err != nil {
		return err
	}
	c.control = control.Open(c.wire, c.log)
	c.group, err = group.Open(group.Config{
		Dir: filepath.Join(c.config.Dir, groupDir), Node: c.Self(), Transport: c.transport(wire.Directory, c.leader), Peers: peers{c},
		TTL: c.config.TTL, Timeout: c.config.Timeout, Changed: c.config.Changed,
		Enrolled: func() { nudge(c.wake) }, Seated: func() { nudge(c.seats) }, Logger: c.log,
	})
	if err != nil {
		return err
	}
	c.opened.Store(c.group)
	if err := c.gossip(ctx); err != nil {
		return err
	}
	// From here on others may ask for anything that is opened above.
	if err := c.handle(); err != nil {
		return err
	}
	c.joins = make(chan error, 1)
	l := c.wire.Listener(wire.Join)
	go func() { c.joins <- enroll.Serve(c.life, l, enroll.Config{Admit: c.admit, Logger: c.log}) }()
	c.work.Go(func() { enroll.Keep(c.life, c.identity, c.renewal(), c.log) })
	c.work.Go(c.keep)
	c.work.Go(c.errands)
	c.work.Go(c.catchUp)
	c.work.Go(c.govern)
	c.work.Go(c.watch)
	if c.config.Tenant != nil {
		c.lease = c.group.Hold(c.config.Tenant)
	}
	return nil
}

// gossip starts the members.
func (c *Cluster) gossip(ctx context.Context) error {
	at, err := numeric(c.config.Gossip)
	if err != nil {
		return err
	}
	advertise, err := numeric(c.config.GossipAdvertise)
	if err != nil {
		return err
	}
	seal, open := gossipKeys(c.roster())
	c.keys = map[string][]byte{}
	for _, key := range append([][]byte{seal}, open...) {
		c.keys[members.KeyID(key)] = key
	}
	c.members, err = members.Start(ctx, members.Config{
		Name: c.Self(), Cluster: c.ID(), Address: at, Advertise: advertise,
		Keys: append([][]byte{seal}, open...), Meta: c.meta(), Seeds: c.seeds, Logger: c.log,
	})
	return err
}

// nudge wakes whoever waits, or will look.
func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Self is this node's name.
func (c *Cluster) Self() string { return c.identity.Name() }

// ID of the cluster, 32 hexadecimal digits.
func (c *Cluster) ID() string { return c.identity.Cluster() }

// Founder tells whether this is the node that the cluster began with.
func (c *Cluster) Founder() bool { return c.note.Founder }

// Group has the directory and the roster.
func (c *Cluster) Group() *group.Group { return c.group }

// Lease of this node; nil without a Tenant.
func (c *Cluster) Lease() *group.Lease { return c.lease }

// Wire is the port between nodes.
func (c *Cluster) Wire() *wire.Wire { return c.wire }

// Control asks other nodes, and answers them. Topics of this package are "directory" and those that
// begin with "cluster/", "renew" and "policy".
func (c *Cluster) Control() *control.Control { return c.control }

// roster is what this node goes by now. It must not be changed.
func (c *Cluster) roster() *roster.State { return c.known.Load().roster }

const (
	// handoverTime is how long another node may take to begin to lead.
	handoverTime = 2 * time.Second
	// releaseTime is how long a leader may take to hear that a session ends. Its lease ends it
	// otherwise.
	releaseTime = 3 * time.Second
)

// Close ends the node's part in order: guests and session, if that was not done before, the lead,
// and then everything else. The node stays a member, and its name is kept; see [Cluster.Leave].
// ctx bounds how long others are waited for. What waits elsewhere fails. A second time it does
// nothing.
func (c *Cluster) Close(ctx context.Context) error {
	c.once.Do(func() { c.err = c.close(ctx) })
	return c.err
}

func (c *Cluster) close(ctx context.Context) error {
	var saying sync.WaitGroup
	saying.Go(func() { c.sayLeft(ctx) }) // what comes next may take all of the time
	if c.lease != nil {
		within, cancel := context.WithTimeout(ctx, c.forRelease())
		err := c.lease.Release(within)
		cancel()
		if err != nil {
			c.log.Info("the session of this node ends with its lease", "error", err)
		}
	}
	c.handOver(ctx)
	saying.Wait()
	return c.shut()
}

// sayLeft tells the others that this node stops, and so has not failed.
func (c *Cluster) sayLeft(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handoverTime)
	defer cancel()
	if err := c.members.Leave(ctx); err != nil && ctx.Err() == nil {
		c.log.Info("not all nodes have heard that this one stops", "error", err)
	}
}

// forRelease is how long it is tried to end the session: not at all while no majority is seen, which it
// would take.
func (c *Cluster) forRelease() time.Duration {
	voters, alive := 0, 0
	for _, m := range c.Members() {
		if m.Voter {
			voters++
			if m.State == Alive {
				alive++
			}
		}
	}
	if alive <= voters/2 {
		return 0
	}
	return releaseTime
}

// handOver gives the lead of the directory to another node, so that nobody waits for an election.
func (c *Cluster) handOver(ctx context.Context) {
	if c.group.Leader() != c.Self() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handoverTime)
	defer cancel()
	if err := group.Settle(ctx, c.group.Raft().LeadershipTransfer()); err != nil {
		c.log.Info("the lead is not handed over", "error", err)
	}
}

// shut ends what was started, also half of it.
func (c *Cluster) shut() error {
	c.stop()
	var failed error
	c.looking.Lock() // who attaches has, or finds that it is too late
	r := c.remote.Swap(nil)
	c.looking.Unlock()
	if r != nil {
		failed = errors.Join(failed, r.Close())
	}
	if c.control != nil { // handlers use the group
		failed = errors.Join(failed, c.control.Close())
	}
	if c.group != nil {
		failed = errors.Join(failed, c.group.Close())
	}
	c.work.Wait() // of what was begun, with no more than errors from now on
	if c.members != nil {
		failed = errors.Join(failed, c.members.Close())
	}
	if c.joins != nil {
		failed = errors.Join(failed, <-c.joins)
	}
	if c.wire != nil {
		failed = errors.Join(failed, c.wire.Close())
	}
	return failed
}

// peers reaches the other nodes' groups.
type peers struct{ c *Cluster }

var _ group.Peers = peers{}

// Ask implements group.Peers. A lease does not wait for the next time that it is renewed because a
// connection was lost.
func (p peers) Ask(ctx context.Context, node string, request []byte) ([]byte, error) {
	topic, tries := topicDirectory, 1
	if group.Urgent(request) {
		topic, tries = topicLease, 3
	}
	answer, err := p.c.control.Ask(ctx, node, topic, request)
	for ; tries > 1 && errors.Is(err, control.ErrNotDone) && ctx.Err() == nil; tries-- {
		answer, err = p.c.control.Ask(ctx, node, topic, request)
	}
	if errors.Is(err, control.ErrNotDone) {
		return nil, fmt.Errorf("%w: %w", group.ErrNoLeader, err)
	}
	return answer, err
}

// transport carries Raft's messages on a stream. leader is of the group as this node knows.
func (c *Cluster) transport(s wire.Stream, leader func() string) raft.Transport {
	return patient(raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: c.wire.StreamLayer(s), MaxPool: raftConns, Timeout: raftTime, Logger: raftLogger(c.log),
	}), func(node string) bool { return c.isMember(node) && leader() == c.Self() && c.life.Err() == nil })
}

// leader of the directory, or "", also before the group is open.
func (c *Cluster) leader() string {
	if g := c.opened.Load(); g != nil {
		return g.Leader()
	}
	return ""
}

const (
	// raftConns is how many idle connections to a node are kept on a stream.
	raftConns = 3
	// raftTime is how long a message of Raft may take.
	raftTime = 2 * time.Second
)

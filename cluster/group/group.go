package group

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/boottime"
	"github.com/pyisolate/pyisolate/internal/commitnews"
	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

// Why a call of the group fails.
var (
	// ErrNoLeader: nobody leads now, or the leader cannot be reached. Nothing was proposed.
	ErrNoLeader = errors.New("the cluster has no leader that can be reached")
	// ErrUncertain: the leader was lost before it answered. It may have been done.
	ErrUncertain = errors.New("it is not known whether it was done")
	// ErrClosed: the group was closed.
	ErrClosed = errors.New("the group is closed")
)

// Peers reaches other nodes.
type Peers interface {
	// Ask has another node's [Group.Answer] answer a request. The error of a request that
	// cannot have arrived is ErrNoLeader.
	Ask(ctx context.Context, node string, request []byte) (answer []byte, err error)
}

// Config of a Group. Dir, Node, Transport and Peers are needed; the zero value of everything
// else is its default.
type Config struct {
	// Dir holds the group's files and nothing else.
	Dir string
	// Node names this node for all time.
	Node string
	// Transport carries Raft's messages. If it has a method Close, Raft calls it in the end.
	Transport raft.Transport
	Peers     Peers
	// Bootstrap lists the first voters, for the node that starts the group.
	Bootstrap []raft.Server
	// TTL is how long a lease of this node's lasts that is not renewed, at most
	// directory.MaxLease. Others may have another. Default 10 s.
	TTL time.Duration
	// Margin is how long before its end a node gives a lease up. Default a third of TTL.
	Margin time.Duration
	// Timeout is after which silence of the leader an election is held, and one that reaches no
	// majority stops leading. Default 500 ms: another leads within two to three times that, since those who elect
	// must all have missed the last one.
	Timeout time.Duration
	// Changed is given the records that changed, in their order, and those that are gone with
	// the epoch 0. It must not block.
	Changed func([]directory.Record)
	// Enrolled is called when the roster has changed. It must not block.
	Enrolled func()
	// Seated is called when sessions have begun or ended. It must not block.
	Seated func()
	// Logger takes Raft's messages and the group's own. Default: nobody does.
	Logger *slog.Logger
	// Clock counts from a fixed moment. Default: from the machine's start.
	Clock func() time.Duration
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Dir == "" || c.Node == "" || c.Transport == nil || c.Peers == nil:
		return c, errors.New("group: a group needs a directory, a node, a transport and peers")
	case c.TTL < 0 || c.TTL > directory.MaxLease || c.Margin < 0 || c.Margin > 0 && c.Margin >= cmp.Or(c.TTL, defaultTTL):
		return c, fmt.Errorf("group: a lease of %s cannot be given up %s before its end", c.TTL, c.Margin)
	}
	c.TTL = cmp.Or(c.TTL, defaultTTL)
	c.Margin = cmp.Or(c.Margin, c.TTL/3)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = boottime.Now
	}
	return c, nil
}

const (
	defaultTTL     = 10 * time.Second
	defaultTimeout = 500 * time.Millisecond
	snapshotsKept  = 2
	logFile        = "raft.db"
	snapDir        = "snapshots"
)

// Group is a node's part in the directory.
type Group struct {
	config Config
	log    *raftlog.Log
	state  *machine
	raft   *raft.Raft
	news   *commitnews.Teller
	leases leases

	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup
	once sync.Once
	err  error // of Close

	mu      sync.Mutex
	applied chan struct{} // closed, and replaced, with each entry
}

// Open opens or makes the group's files in c.Dir and takes part.
func Open(c Config) (*Group, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Group{config: c, applied: make(chan struct{})}
	g.state = &machine{told: g.told}
	g.life, g.end = context.WithCancel(context.Background())
	if err := g.start(); err != nil {
		g.end()
		if g.log != nil {
			err = errors.Join(err, g.log.Close())
		}
		return nil, fmt.Errorf("open the directory in %s: %w", c.Dir, err)
	}
	g.work.Go(g.lead)
	return g, nil
}

func (g *Group) start() (err error) {
	if err := os.MkdirAll(g.config.Dir, 0o700); err != nil {
		return err
	}
	if g.log, err = raftlog.Open(filepath.Join(g.config.Dir, logFile)); err != nil {
		return err
	}
	snaps, err := raftlog.OpenSnapshots(filepath.Join(g.config.Dir, snapDir), snapshotsKept)
	if err != nil {
		return err
	}
	if err := raftlog.DropCovered(g.log, snaps); err != nil {
		return err
	}
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(g.config.Node)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = g.config.Timeout, g.config.Timeout, g.config.Timeout
	c.CommitTimeout = 20 * time.Millisecond
	c.NoLegacyTelemetry = true
	c.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: slogWriter{g.config.Logger}, DisableTime: true})
	if len(g.config.Bootstrap) > 0 {
		used, err := raft.HasExistingState(g.log, g.log, snaps)
		if err == nil && !used {
			err = raft.BootstrapCluster(c, g.log, g.log, snaps, g.config.Transport, raft.Configuration{Servers: g.config.Bootstrap})
		}
		if err != nil {
			return err
		}
	}
	stable := raftlog.NewPatient(g.log, g.diskFailing, g.life.Done())
	if g.raft, err = raft.NewRaft(c, g.state, g.log, stable, snaps, g.config.Transport); err != nil {
		return err
	}
	g.news = commitnews.New(g.raft, g.log, g.config.Transport, c.LocalID)
	return nil
}

// diskFailing is told while Raft's term cannot be stored, and of nil when it can again.
func (g *Group) diskFailing(err error) {
	if err != nil {
		g.config.Logger.Error("the directory's log cannot be written; this node takes no part until it can", "error", err)
	} else {
		g.config.Logger.Info("the directory's log can be written again")
	}
}

// slogWriter takes Raft's lines.
type slogWriter struct{ to *slog.Logger }

// silence is what Raft says over and over about a node that is down.
var silence = [][]byte{
	[]byte("failed to heartbeat"), []byte("failed to contact"), []byte("failed to appendEntries"),
	[]byte("failed to make requestVote"), []byte("failed to pipeline"),
	[]byte("failed to get previous log"), // here, of news that is ahead of its entry
}

func (w slogWriter) Write(b []byte) (int, error) {
	level := slog.LevelWarn
	for _, s := range silence {
		if bytes.Contains(b, s) {
			level = slog.LevelDebug
		}
	}
	w.to.Log(context.Background(), level, "raft", "message", string(bytes.TrimSpace(b)))
	return len(b), nil
}

// told is called with what an entry has changed.
func (g *Group) told(c change) {
	g.mu.Lock()
	close(g.applied)
	g.applied = make(chan struct{})
	g.mu.Unlock()
	if len(c.records) > 0 && g.config.Changed != nil {
		g.config.Changed(c.records)
	}
	if c.roster && g.config.Enrolled != nil {
		g.config.Enrolled()
	}
	if c.sessions && g.config.Seated != nil {
		g.config.Seated()
	}
}

// Find returns what this node knows of a cell.
func (g *Group) Find(c directory.Cell) (r directory.Record, ok bool) {
	g.state.read(func(d *directory.State, _ *roster.State) { r, ok = d.Find(c) })
	return r, ok
}

// Records returns what this node knows of a tenant's cells, or with "" of all, by name.
func (g *Group) Records(tenant string) (all []directory.Record) {
	g.state.read(func(d *directory.State, _ *roster.State) { all = d.Records(tenant) })
	return all
}

// Sessions are those that this node knows to be open, by node.
func (g *Group) Sessions() (open map[string]uint64) {
	g.state.read(func(d *directory.State, _ *roster.State) { open = d.Sessions() })
	return open
}

// Roster is a copy of what this node knows of the nodes.
func (g *Group) Roster() (r *roster.State) {
	g.state.read(func(_ *directory.State, known *roster.State) { r = known.Copy() })
	return r
}

// Applied is the index of the last change of directory or roster that is known here.
func (g *Group) Applied() uint64 { return g.state.at() }

// Failure is why nothing is applied here any more, or nil: the log has what this version does not
// know.
func (g *Group) Failure() error { return g.state.failed() }

// Leading tells whether this node leads and knows all that was agreed before.
func (g *Group) Leading() bool { return g.leases.ready() }

// Leader is who leads as far as this node knows, or "".
func (g *Group) Leader() string {
	_, id := g.raft.LeaderWithID()
	return string(id)
}

// Raft is for membership: adding, promoting and removing nodes.
func (g *Group) Raft() *raft.Raft { return g.raft }

// Close ends the node's part. What waits fails with ErrClosed.
func (g *Group) Close() error {
	g.once.Do(func() {
		g.end()
		err := g.raft.Shutdown().Error()
		g.news.Close()
		g.work.Wait()
		g.err = errors.Join(err, g.log.Close())
	})
	return g.err
}

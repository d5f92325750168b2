package fabric

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/loopback"
	"github.com/pyisolate/pyisolate/internal/pause"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// testTTL is longer than a busy machine holds up a lease: who loses it loses its cells.
	testTTL     = 6 * time.Second
	testTimeout = 200 * time.Millisecond * await.Slow
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// world is the nodes of a cluster in one process. Their actors reach each other by calls.
type world struct {
	t     testing.TB
	nodes map[string]*node
	keep  time.Duration
}

// node of a world: its cells are of no Python.
type node struct {
	*Fabric
	cluster *cluster.Cluster
	system  *actors.System
	world   *world
	name    string

	inherited chan server.Place

	mu     sync.Mutex
	cells  map[*guest]bool
	killed []string // reasons
	until  time.Duration
	room   Room
}

// seen is a cluster whose messages to other nodes are calls.
type seen struct {
	*cluster.Cluster
	world *world
}

// Via implements Cluster.
func (s seen) Via(node string) actors.Via { return via{s.world.nodes[node]} }

type via struct{ to *node }

// Ask implements actors.Via.
func (v via) Ask(ctx context.Context, env actors.Envelope) actors.Reply {
	return v.to.system.Begin(ctx, env)()
}

// newWorld is a cluster of so many nodes, all with a lease.
func newWorld(t testing.TB, count int) *world { return newWorldThatKeeps(t, count, 0) }

func newWorldThatKeeps(t testing.TB, count int, keep time.Duration) *world {
	t.Helper()
	w := &world{t: t, nodes: map[string]*node{}, keep: keep}
	for i := range count {
		name := "n" + strconv.Itoa(i+1)
		dir, at := filepath.Join(t.TempDir(), "cluster"), loopback.Address()
		if i == 0 {
			must(t, cluster.Found(soon(t), cluster.Founding{Dir: dir, Node: name, Address: at}))
		} else {
			token, _, err := w.nodes["n1"].cluster.Invite(soon(t), "", time.Minute)
			must(t, err)
			must(t, cluster.Join(soon(t), cluster.Joining{Dir: dir, Node: name, Address: at, Token: token}))
		}
		w.open(name, dir)
	}
	for _, n := range w.nodes {
		await.That(t, n.name+" has a lease and sees all", func() bool {
			for _, m := range n.cluster.Members() {
				if m.State != cluster.Alive || !m.Session || m.Meta.Cells == 0 {
					return false
				}
			}
			return n.Valid() == nil && len(n.cluster.Members()) == count
		})
	}
	return w
}

func (w *world) open(name, dir string) {
	n := &node{world: w, name: name, cells: map[*guest]bool{}, room: Room{Cells: 100}, inherited: make(chan server.Place, 100)}
	to := w.t.Output()
	if _, bench := w.t.(*testing.B); bench {
		to = io.Discard
	}
	logger := slog.New(slog.NewTextHandler(to, nil)).With("at", name)
	n.Fabric = New(Config{Node: n, Margin: testTTL / 3, Keep: w.keep, Logger: logger, Inherit: func(p server.Place) { n.inherited <- p }})
	c, err := cluster.Open(soon(w.t), cluster.Config{Dir: dir, Tenant: n.Fabric, Changed: n.Changed, Meta: n.Meta, TTL: testTTL, Timeout: testTimeout, Logger: logger})
	must(w.t, err)
	n.cluster = c
	n.system = actors.New(actors.Options{Directory: n.Names(), Logger: logger})
	n.Follow(n.system)
	must(w.t, n.Bind(seen{c, w}))
	w.nodes[name] = n
	w.t.Cleanup(func() { n.close() })
}

func (n *node) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n.Leave()
	if err := n.system.Close(ctx); err != nil {
		n.world.t.Error(err)
	}
	n.Close()
	if err := n.cluster.Close(ctx); err != nil {
		n.world.t.Error(err)
	}
}

// fresh returns when the node knows what was agreed. A call waits two seconds at most, which a busy machine may take.
func (n *node) fresh(t testing.TB) {
	t.Helper()
	await.That(t, n.name+" knows what was agreed", func() bool { return n.Refresh(soon(t)) == nil })
}

// Kill implements Node.
func (n *node) Kill(_ context.Context, reason string) error {
	n.mu.Lock()
	n.killed = append(n.killed, reason)
	all := n.cells
	n.cells = map[*guest]bool{}
	n.mu.Unlock()
	for g := range all {
		g.Kill(reason)
	}
	return nil
}

// Lease implements Node.
func (n *node) Lease(until time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.until = until
}

// Meta implements Node.
func (n *node) Meta() members.Meta {
	return members.Meta{Cells: 100, Backends: []string{"process"}, Labels: map[string]string{"name": n.name}}
}

// Room implements Node.
func (n *node) Room() Room { return n.room }

// guest is a cell that answers with the name of its node.
type guest struct {
	cell.Cell
	at    string
	epoch uint64
	once  sync.Once
	done  chan struct{}
	err   error
}

func (g *guest) Done() <-chan struct{}                          { return g.done }
func (g *guest) Err() error                                     { return g.err }
func (g *guest) Close(context.Context) error                    { g.end(nil); return nil }
func (g *guest) Kill(reason string)                             { g.end(cell.Errorf(cell.CellGone, "%s", reason)) }
func (g *guest) Exec(context.Context, cell.Source) error        { return nil }
func (g *guest) Inspect(context.Context) (cell.Report, error)   { return cell.Report{}, nil }
func (g *guest) Quarantine(context.Context, string) error       { return nil }
func (g *guest) Post(context.Context, string, cell.Value) error { return nil }

// Call implements cell.Cell.
func (g *guest) Call(context.Context, cell.Invocation) (cell.Value, error) {
	select {
	case <-g.done:
		return cell.Value{}, cell.Errorf(cell.CellGone, "it has ended")
	default:
		return cell.Value{Type: cell.JSON, Data: []byte(g.at)}, nil
	}
}

func (g *guest) end(err error) {
	g.once.Do(func() {
		g.err = err
		close(g.done)
	})
}

// spawn starts a cell as a server does, and as a client again while others do not answer in time.
func (n *node) spawn(ctx context.Context, a actors.Address, request string, restart ...actors.Restart) (g *guest, err error) {
	if request == "" {
		request = rand.Text()
	}
	for {
		g, err = n.trySpawn(ctx, a, request, restart...)
		if !errors.Is(err, fault.ErrUnavailable) && !errors.Is(err, cell.Busy) || !pause.For(ctx, 10*time.Millisecond) {
			return g, err
		}
	}
}

func (n *node) trySpawn(ctx context.Context, a actors.Address, request string, restart ...actors.Restart) (*guest, error) {
	var last *guest
	plan := actors.Plan{
		Next: func(ctx context.Context, before uint64) (uint64, error) {
			if before > 0 {
				return n.Restart(ctx, a, before)
			}
			p, err := n.Claim(ctx, a, request, "", 0)
			if err == nil && p.Node != n.name {
				err = cell.Errorf(cell.Invalid, "it is on %s", p.Node)
			}
			return p.Epoch, err
		},
		Start: func(_ context.Context, epoch uint64) (cell.Cell, error) {
			last = &guest{at: n.name, epoch: epoch, done: make(chan struct{})}
			n.mu.Lock()
			defer n.mu.Unlock()
			n.cells[last] = true
			return last, nil
		},
	}
	for _, r := range restart {
		plan.Restart = r
	}
	err := n.system.Spawn(ctx, a, plan)
	return last, err
}

// ask asks a cell, from this node, where it is.
func (n *node) ask(t testing.TB, a actors.Address) (string, error) {
	t.Helper()
	r := n.system.Ask(soon(t), actors.Envelope{To: a, Body: actors.Call{Invocation: cell.Invocation{Target: "where"}}})
	return string(r.Value.Data), r.Err
}

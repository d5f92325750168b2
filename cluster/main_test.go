package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		// Raft may never answer what was under way when it was shut down.
		goleak.IgnoreTopFunction("github.com/hashicorp/raft.(*deferError).Error"),
		// A probe ends with its time, some seconds at the most.
		goleak.IgnoreTopFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soon bounds a test's calls.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// node of a test: the files of one, and the Cluster while it runs.
type node struct {
	*Cluster
	t             testing.TB
	name, dir, at string

	mu    sync.Mutex
	seats []directory.Seat // opened
	lost  []directory.Seat
}

// Opened implements group.Tenant.
func (n *node) Opened(s directory.Seat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seats = append(n.seats, s)
}

// Lapsed implements group.Tenant.
func (n *node) Lapsed(s directory.Seat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = append(n.lost, s)
}

const (
	testTimeout = 200 * time.Millisecond * await.Slow
	testTTL     = 1200 * time.Millisecond * await.Slow
)

func logs(t testing.TB) *slog.Logger {
	to := t.Output()
	if _, bench := t.(*testing.B); bench {
		to = io.Discard
	}
	return slog.New(slog.NewTextHandler(to, nil))
}

func (n *node) config() Config {
	c := Config{
		Dir: n.dir, Tenant: n, TTL: testTTL, Timeout: testTimeout, Logger: logs(n.t).With("at", n.name),
		Limits: wire.Limits{Rate: 1000, Burst: 1000},
	}
	if _, bench := n.t.(*testing.B); bench {
		c.TTL, c.Timeout = 0, 0 // as nodes have them
	}
	return c
}

func (n *node) open(change ...func(*Config)) {
	n.t.Helper()
	config := n.config()
	for _, f := range change {
		f(&config)
	}
	c, err := Open(soon(n.t), config)
	must(n.t, err)
	n.Cluster = c
	n.t.Cleanup(n.kill)
}

func (n *node) close() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		n.t.Errorf("close %s: %v", n.name, err)
	}
}

// kill ends it as if the process had died, but for what goes on in this one.
func (n *node) kill() {
	n.t.Helper()
	n.once.Do(func() {
		if n.lease != nil {
			n.lease.Release(cancelled()) //nolint:errcheck // nobody hears of it
		}
		n.err = n.shut()
	})
	must(n.t, n.err)
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// found is a node that a cluster begins with.
func found(t testing.TB, name string) *node {
	t.Helper()
	n := &node{t: t, name: name, dir: filepath.Join(t.TempDir(), "cluster"), at: loopback.Address()}
	must(t, Found(soon(t), Founding{Dir: n.dir, Node: name, Address: n.at}))
	return n
}

// join is a node that comes by invitation of another.
func join(t testing.TB, by *node, name string) *node {
	t.Helper()
	n := &node{t: t, name: name, dir: filepath.Join(t.TempDir(), "cluster"), at: loopback.Address()}
	token, _, err := by.Invite(soon(t), name, 0)
	must(t, err)
	must(t, Join(soon(t), Joining{Dir: n.dir, Node: name, Address: n.at, Token: token}))
	return n
}

// form is a cluster of so many nodes, n1, n2, …, all that may of which vote.
func form(t testing.TB, count int, change ...func(*Config)) []*node {
	t.Helper()
	nodes := []*node{found(t, "n1")}
	nodes[0].open(change...)
	for i := 2; i <= count; i++ {
		n := join(t, nodes[0], "n"+strconv.Itoa(i))
		n.open(change...)
		nodes = append(nodes, n)
	}
	settled(t, nodes, wanted(count, count))
	return nodes
}

// lasting has leases last longer than a busy machine holds them up.
func lasting(ttl time.Duration) func(*Config) { return func(c *Config) { c.TTL = ttl } }

// claims has a node claim a cell until it has it, and returns for which session: a busy machine loses leaders and leases.
func (n *node) claims(t testing.TB, c directory.Cell) (seat directory.Seat) {
	t.Helper()
	await.That(t, n.name+" has a cell", func() bool {
		var valid bool
		if seat, valid = n.Lease().Seat(); !valid { // a lease that it does not have, it does not lose
			return false
		}
		out, err := n.Group().Propose(soon(t), directory.Command{Op: directory.Claim, Cell: c, Seat: seat, Request: "r"})
		return err == nil && out.Record.Owner == seat
	})
	return seat
}

// removes has a node remove another, as often as too few answer in time for that, or the lead is lost meanwhile.
func (n *node) removes(t testing.TB, name string, force bool) {
	t.Helper()
	ctx := soon(t)
	await.That(t, n.name+" removes "+name, func() bool {
		err := n.Remove(ctx, name, force)
		if err != nil {
			t.Log(err)
		}
		return err == nil || errors.Is(err, roster.ErrNoMember) // it was, and then not all was done
	})
}

// settled waits until all know each other and the same leader, hold leases, and so many vote.
func settled(t testing.TB, nodes []*node, voters int) {
	t.Helper()
	for _, n := range nodes {
		await.That(t, n.name+" is one of the cluster", func() bool {
			s := n.Status()
			return s.Leader != "" && s.Current && s.Leased && s.Voters == voters && s.Members == len(nodes) && s.Alive == len(nodes)
		})
	}
}

func leader(t testing.TB, nodes []*node) *node {
	t.Helper()
	var leads *node
	await.That(t, "one leads", func() bool {
		for _, n := range nodes {
			if n.Cluster != nil && n.life.Err() == nil && n.group.Leading() {
				leads = n
				return true
			}
		}
		return false
	})
	return leads
}

package group

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/boottime"
	"github.com/pyisolate/pyisolate/internal/rafttest"
)

func TestMain(m *testing.M) {
	// Raft may never answer what was under way when it was shut down.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/hashicorp/raft.(*deferError).Error"))
}

// network is nodes that reach each other over TCP, until they are cut.
type network struct {
	mu    sync.Mutex
	nodes map[string]*node
	cut   map[[2]string]bool
	deaf  string // Raft of this node is not dialled
}

// node of a network.
type node struct {
	*Group
	net   *network
	name  string
	layer *layer
	sends *transport

	mu    sync.Mutex
	seats []directory.Seat // opened, in their order
	lost  []directory.Seat
	at    map[directory.Seat]time.Duration // when it was lost
	heard []directory.Record
	stall chan struct{} // while it is open, nothing more is applied after a change of a record
}

// layer is how Raft reaches others: it knows who dials, and can be cut.
type layer struct {
	net.Listener
	of    string
	net   *network
	mu    sync.Mutex
	conns map[net.Conn]string // to whom
	gate  sync.RWMutex        // while it is locked, answers do not arrive
}

// Addr implements net.Listener: nodes are known by their names.
func (l *layer) Addr() net.Addr { return address(l.of) }

type address string

func (address) Network() string  { return "test" }
func (a address) String() string { return string(a) }

// Dial implements raft.StreamLayer.
func (l *layer) Dial(to raft.ServerAddress, within time.Duration) (net.Conn, error) {
	name := string(to)
	if err := l.net.refuses(l.of, name); err != nil {
		return nil, err
	}
	l.net.mu.Lock()
	at := l.net.nodes[name].layer.Listener.Addr().String()
	l.net.mu.Unlock()
	c, err := net.DialTimeout("tcp", at, within)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.conns[c] = name
	l.mu.Unlock()
	if err := l.net.refuses(l.of, name); err != nil { // it was cut meanwhile, and what was known then is severed
		l.sever(name)
		return nil, err
	}
	return gated{c, l}, nil
}

// gated is a connection whose answers can be held back.
type gated struct {
	net.Conn
	layer *layer
}

// Read implements net.Conn.
func (g gated) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.layer.gate.RLock()
	defer g.layer.gate.RUnlock()
	return n, err
}

// transport is Raft's, on which what tells another node to lead can be held back.
type transport struct {
	*raft.NetworkTransport
	lead rafttest.Lead
}

// TimeoutNow implements raft.Transport.
func (t *transport) TimeoutNow(id raft.ServerID, at raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse) error {
	return t.lead.Send(func() error { return t.NetworkTransport.TimeoutNow(id, at, q, a) })
}

// deafen has nobody's Raft reach a node's any more. The node goes on reaching the others.
func (n *network) deafen(name string) {
	n.mu.Lock()
	n.deaf = name
	nodes := n.nodes
	n.mu.Unlock()
	for _, one := range nodes {
		one.layer.sever(name)
	}
}

// sever closes what goes to a node, or for "" to all.
func (l *layer) sever(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, to := range l.conns {
		if to == name || name == "" {
			_ = c.Close()
			delete(l.conns, c)
		}
	}
}

func (n *network) isCut(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[[2]string{a, b}] || n.cut[[2]string{b, a}]
}

// refuses says why Raft of one does not dial another.
func (n *network) refuses(from, to string) error {
	if n.isCut(from, to) {
		return errors.New("cut")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deaf == to {
		return errors.New("deaf")
	}
	return nil
}

// isolate cuts a node from all others, or joins it again.
func (n *network) isolate(name string, cut bool) {
	n.mu.Lock()
	for other := range n.nodes {
		if other != name {
			n.cut[[2]string{name, other}] = cut
		}
	}
	nodes := n.nodes
	n.mu.Unlock()
	if cut {
		for other, one := range nodes {
			if other == name {
				for to := range nodes {
					one.layer.sever(to)
				}
			}
			one.layer.sever(name)
		}
	}
}

// Ask implements Peers.
func (n *node) Ask(ctx context.Context, to string, request []byte) ([]byte, error) {
	if n.net.isCut(n.name, to) {
		return nil, ErrNoLeader
	}
	n.net.mu.Lock()
	other := n.net.nodes[to]
	n.net.mu.Unlock()
	if other == nil {
		return nil, ErrNoLeader
	}
	answers := make(chan []byte, 1)
	go func() { answers <- other.Answer(ctx, n.name, request) }()
	select {
	case a := <-answers:
		if n.net.isCut(n.name, to) {
			return nil, errors.New("the answer is lost")
		}
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Opened implements Tenant.
func (n *node) Opened(s directory.Seat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seats = append(n.seats, s)
}

// Lapsed implements Tenant.
func (n *node) Lapsed(s directory.Seat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = append(n.lost, s)
	n.at[s] = boottime.Now()
}

func (n *node) changed(r []directory.Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard = append(n.heard, r...)
	stall := n.stall
	n.mu.Unlock()
	defer n.mu.Lock()
	if stall != nil {
		<-stall
	}
}

const testTTL = 900 * time.Millisecond

// newNetwork starts n0, n1, …, all voters.
func newNetwork(t testing.TB, count int, ttl time.Duration) *network {
	t.Helper()
	return newNetworkAt(t, configsOf(t, count, ttl))
}

// steady is one of which n0 alone votes: it leads, however busy the machine is.
func steady(t testing.TB, count int, ttl time.Duration) *network {
	t.Helper()
	return start(t, configsOf(t, count, ttl), 1)
}

func configsOf(t testing.TB, count int, ttl time.Duration) (all []Config) {
	t.Helper()
	for i := range count {
		name := fmt.Sprint("n", i)
		all = append(all, Config{Dir: filepath.Join(t.TempDir(), name), Node: name, TTL: ttl, Timeout: 150 * time.Millisecond})
	}
	return all
}

// newNetworkAt starts nodes in directories that there may have been nodes in.
func newNetworkAt(t testing.TB, configs []Config) *network {
	t.Helper()
	return start(t, configs, len(configs))
}

// start starts nodes, the first of which are voters.
func start(t testing.TB, configs []Config, voters int) *network {
	t.Helper()
	w := &network{nodes: map[string]*node{}, cut: map[[2]string]bool{}}
	var servers []raft.Server
	for i, c := range configs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		w.nodes[c.Node] = &node{net: w, name: c.Node, layer: &layer{Listener: l, of: c.Node, net: w, conns: map[net.Conn]string{}}, at: map[directory.Seat]time.Duration{}}
		s := raft.Server{ID: raft.ServerID(c.Node), Address: raft.ServerAddress(c.Node)}
		if i >= voters {
			s.Suffrage = raft.Nonvoter
		}
		servers = append(servers, s)
	}
	for _, c := range configs {
		n := w.nodes[c.Node]
		c.Peers, c.Bootstrap, c.Changed = n, servers, n.changed
		n.sends = &transport{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: n.layer, MaxPool: 3,
			Timeout: time.Second, Logger: hclog.NewNullLogger(), ServerAddressProvider: nil})}
		c.Transport = n.sends
		var err error
		n.Group, err = Open(c)
		must(t, err)
		t.Cleanup(func() {
			must(t, n.Close())
			n.layer.sever("") // Raft leaves some open
		})
	}
	return w
}

// leader waits for one that is ready, but not except.
func (n *network) leader(t testing.TB, except string) *node {
	t.Helper()
	var found *node
	await.That(t, "somebody leads", func() bool {
		for name, one := range n.nodes {
			if name != except && one.leases.ready() && !n.isolated(name) {
				found = one
				return true
			}
		}
		return false
	})
	return found
}

func (n *network) isolated(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.nodes {
		if n.cut[[2]string{name, other}] {
			return true
		}
	}
	return false
}

func (n *node) seat() directory.Seat {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.seats) == 0 {
		return directory.Seat{}
	}
	return n.seats[len(n.seats)-1]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, b []byte) (a answer) {
	t.Helper()
	must(t, json.Unmarshal(b, &a))
	return a
}

package policystore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/rafttest"
)

// network connects nodes in memory, for Raft and for what they ask each other.
type network struct {
	mu    sync.Mutex
	nodes map[string]*node
	cut   map[string]bool // nodes that reach nobody, and that nobody reaches
	// mute are nodes whose answers get lost, but not what they are asked.
	mute map[string]bool
	// hung are nodes that never answer, nor fail to, until whoever asks gives up.
	hung map[string]bool
	// commits, when not nil, says of each change that is sent to a node whether it gets there,
	// and whether the answer comes back.
	commits func() (there, back bool)
}

// node is one of a group.
type node struct {
	*Store
	id        string
	dir       string
	transport *transport
}

// transport may keep the message back by which a node gives the lead away.
type transport struct {
	*raft.InmemTransport
	lead rafttest.Lead
}

// TimeoutNow implements raft.Transport.
func (t *transport) TimeoutNow(id raft.ServerID, at raft.ServerAddress, q *raft.TimeoutNowRequest, a *raft.TimeoutNowResponse) error {
	return t.lead.Send(func() error { return t.InmemTransport.TimeoutNow(id, at, q, a) })
}

func newNetwork() *network {
	return &network{nodes: map[string]*node{}, cut: map[string]bool{}, mute: map[string]bool{}, hung: map[string]bool{}}
}

// startGroup starts nodes n0, n1, … that are a group from the beginning.
func startGroup(t testing.TB, size int) *network {
	t.Helper()
	w := newNetwork()
	var voters []raft.Server
	for i := range size {
		id := fmt.Sprint("n", i)
		voters = append(voters, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	for i := range size {
		w.start(t, fmt.Sprint("n", i), Config{SnapshotEvery: 20}, Cluster{Bootstrap: voters})
	}
	return w
}

// startPair starts a leader, which stays it however busy the machine is, since nobody else votes, and a node that
// follows it.
func startPair(t *testing.T) (w *network, leader, follower *node) {
	t.Helper()
	w = startFounded(t, t.TempDir())
	follower = w.start(t, "n1", Config{}, Cluster{})
	join(t, w, "n1", false)
	await.That(t, "n1 to know who leads", func() bool { return follower.Leader() == "n0" })
	return w, w.nodes["n0"], follower
}

// start starts a node, which the test closes at its end.
func (w *network) start(t testing.TB, id string, c Config, group Cluster) *node {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	n := &node{id: id, dir: c.Dir}
	_, memory := raft.NewInmemTransport(raft.ServerAddress(id))
	n.transport = &transport{InmemTransport: memory}
	group.Transport, group.Forward = n.transport, func(ctx context.Context, to string, request []byte) ([]byte, error) {
		return w.forward(ctx, id, to, request)
	}
	if group.Timeout == 0 {
		group.Timeout = 300 * time.Millisecond
	}
	c.NodeID, c.Cluster = id, &group
	n.Store = openTest(t, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[id] = n
	w.connect()
	return n
}

// connect makes Raft's connections what cut says.
func (w *network) connect() {
	for _, a := range w.nodes {
		a.transport.DisconnectAll()
		for _, b := range w.nodes {
			if a != b && !w.cut[a.id] && !w.cut[b.id] {
				a.transport.Connect(b.transport.LocalAddr(), b.transport.InmemTransport)
			}
		}
	}
}

// isolate cuts a node off, or heals that.
func (w *network) isolate(id string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[id] = cut
	w.connect()
}

func (w *network) loseAnswers(id string, lose bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute[id] = lose
}

// onCommit sets commits.
func (w *network) onCommit(f func() (there, back bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commits = f
}

func (w *network) hang(id string, hang bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hung[id] = hang
}

var errLost = errors.New("the connection was lost")

func (w *network) forward(ctx context.Context, from, to string, request []byte) ([]byte, error) {
	w.mu.Lock()
	target, cut, hung, commits := w.nodes[to], w.cut[from] || w.cut[to], w.hung[to], w.commits
	w.mu.Unlock()
	if target == nil || cut {
		return nil, fmt.Errorf("%w: node %s cannot be reached", ErrNotLeader, to)
	}
	if hung {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	there, back := true, true
	if commits != nil && question(request[1]) == askCommit {
		there, back = commits()
	}
	if !there {
		return nil, errLost
	}
	done := make(chan []byte, 1)
	go func() { done <- target.Answer(ctx, from, request) }()
	select {
	case b := <-done:
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cut[from] || w.cut[to] || w.mute[to] || !back {
			return nil, errLost
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *network) all() (nodes []*node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		nodes = append(nodes, n)
	}
	return nodes
}

// leader waits until a node that is not cut off leads, other than one that is named.
func (w *network) leader(t testing.TB, other string) (found *node) {
	t.Helper()
	await.That(t, "a leader", func() bool {
		for _, n := range w.all() {
			w.mu.Lock()
			cut := w.cut[n.id]
			w.mu.Unlock()
			if n.Leads() && n.id != other && !cut {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

// lead has a node do what only a leader can, until one has: on a busy machine the lead may be lost meanwhile.
func (w *network) lead(t testing.TB, what string, do func(leader *node) error) {
	t.Helper()
	var err error
	defer func() {
		if t.Failed() {
			t.Logf("%s: %v", what, err)
		}
	}()
	await.That(t, what, func() bool {
		err = do(w.leader(t, ""))
		return err == nil
	})
}

// follower is a node that does not lead.
func (w *network) follower(t testing.TB) *node {
	t.Helper()
	leader := w.leader(t, "")
	for _, n := range w.all() {
		if n != leader {
			return n
		}
	}
	t.Fatal("there is no follower")
	return nil
}

// waitEqual waits until all nodes have the same state, and checks each one's record of it.
func (w *network) waitEqual(t testing.TB) {
	t.Helper()
	await.That(t, "equal states", func() bool {
		digests := map[Digest]bool{}
		for _, n := range w.all() {
			st, err := n.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			digests[st.Digest] = true
		}
		return len(digests) == 1
	})
	for _, n := range w.all() {
		err := n.state.view(func(tx *transaction) error { return tx.verify() })
		if err != nil {
			t.Errorf("%s: %v", n.id, err)
		}
	}
}

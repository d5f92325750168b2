package policystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
)

// node is one of a group whose transports are connected in memory.
type node struct {
	*Store
	id        string
	transport *raft.InmemTransport
}

func startNode(t *testing.T, id string, bootstrap []raft.Server, others ...*node) *node {
	t.Helper()
	_, transport := raft.NewInmemTransport(raft.ServerAddress(id))
	for _, o := range others {
		transport.Connect(o.transport.LocalAddr(), o.transport)
		o.transport.Connect(transport.LocalAddr(), transport)
	}
	s := openTest(t, Config{
		NodeID: id, SnapshotEvery: 20,
		Cluster: &Cluster{Transport: transport, Bootstrap: bootstrap, Timeout: 300 * time.Millisecond},
	})
	return &node{s, id, transport}
}

func leader(t *testing.T, nodes []*node) (found *node) {
	t.Helper()
	await.That(t, "a leader", func() bool {
		for _, n := range nodes {
			if st, err := n.Status(t.Context()); err == nil && st.Leads {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

func waitEqual(t *testing.T, nodes []*node) {
	t.Helper()
	await.That(t, "equal states", func() bool {
		digests := map[Digest]bool{}
		for _, n := range nodes {
			st, err := n.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			digests[st.Digest] = true
		}
		return len(digests) == 1
	})
}

// atLeader does something at whoever leads until it succeeds there: leaders change when the
// machine is busy.
func atLeader(t *testing.T, nodes []*node, what string, do func(*node) error) (done *node) {
	t.Helper()
	await.That(t, what, func() bool {
		done = leader(t, nodes)
		err := do(done)
		if err != nil {
			t.Logf("%s at %s: %v", what, done.id, err)
		}
		return err == nil
	})
	return done
}

// putAtLeader makes a version once, whoever leads.
func putAtLeader(t *testing.T, nodes []*node, text string) *node {
	t.Helper()
	return atLeader(t, nodes, "put "+text, func(n *node) error {
		_, err := n.Put(t.Context(), editor, PutRequest{Name: "etl", Text: []byte(text), RequestID: text})
		return err
	})
}

func startGroup(t *testing.T, size int) (nodes []*node) {
	t.Helper()
	var servers []raft.Server
	for i := range size {
		id := fmt.Sprint("n", i)
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	for i := range size {
		nodes = append(nodes, startNode(t, fmt.Sprint("n", i), servers, nodes...))
	}
	return nodes
}

func TestCluster(t *testing.T) {
	ctx := t.Context()
	nodes := startGroup(t, 3)
	for i := range 50 {
		putAtLeader(t, nodes, fmt.Sprint(i))
	}
	waitEqual(t, nodes)
	refused := 0
	for _, n := range nodes {
		if v, err := n.Get(ctx, "etl", 0, Stale); err != nil || v.Number != 50 {
			t.Errorf("%s: %+v, %v", n.id, v, err)
		}
		_, err := n.Put(ctx, editor, PutRequest{Name: "etl", Text: []byte("49"), RequestID: "49"})
		if errors.Is(err, ErrNotLeader) && strings.Contains(err.Error(), "ask node n") {
			refused++
		}
	}
	if refused < 2 {
		t.Errorf("%d nodes name the leader", refused)
	}

	// A node that comes late gets a snapshot: the log's beginning is gone.
	atLeader(t, nodes, "take a snapshot", func(n *node) error { return n.raft.Snapshot().Error() })
	late := startNode(t, "n3", nil, nodes...)
	atLeader(t, nodes, "add a node", func(n *node) error { return n.raft.AddNonvoter("n3", "n3", 0, 0).Error() })
	waitEqual(t, append(nodes, late))

	// Another leader answers with all that the first acknowledged.
	first := putAtLeader(t, nodes, "last")
	atLeader(t, nodes, "hand over", func(n *node) error {
		if n != first {
			return nil
		}
		return n.raft.LeadershipTransfer().Error()
	})
	second := atLeader(t, nodes, "read at another leader", func(n *node) error {
		v, err := n.Get(ctx, "etl", 0, Linearizable)
		if err == nil && string(v.Text) != "last" {
			t.Errorf("%s answers %q", n.id, v.Text)
		}
		return err
	})
	putAtLeader(t, nodes, "by the second")
	waitEqual(t, append(nodes, late))
	if _, err := second.VerifyAudit(ctx); err != nil && !errors.Is(err, ErrNotLeader) {
		t.Error(err)
	}

	// Cut off, a leader soon answers nothing but what may be stale.
	cut := leader(t, nodes)
	cut.transport.DisconnectAll()
	await.That(t, "the leader that is cut off to refuse", func() bool {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := cut.Get(short, "etl", 0, Linearizable)
		return err != nil
	})
	if _, err := cut.Get(ctx, "etl", 0, Stale); err != nil {
		t.Error(err)
	}
}

package policystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
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
		Cluster: &Cluster{Transport: transport, Bootstrap: bootstrap, Timeout: 150 * time.Millisecond},
	})
	return &node{s, id, transport}
}

// waitFor polls until a condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func leader(t *testing.T, nodes []*node) (found *node) {
	t.Helper()
	waitFor(t, "a leader", func() bool {
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
	waitFor(t, "equal states", func() bool {
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

func TestCluster(t *testing.T) {
	ctx := t.Context()
	var servers []raft.Server
	for i := range 3 {
		id := fmt.Sprint("n", i)
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	var nodes []*node
	for i := range 3 {
		nodes = append(nodes, startNode(t, fmt.Sprint("n", i), servers, nodes...))
	}
	first := leader(t, nodes)
	for i := range 50 {
		mustPut(t, first.Store, "etl", fmt.Sprint(i))
	}
	waitEqual(t, nodes)
	for _, n := range nodes {
		if v, err := n.Get(ctx, "etl", 0, Stale); err != nil || v.Number != 50 {
			t.Errorf("%s: %+v, %v", n.id, v, err)
		}
		if n == first {
			continue
		}
		_, getErr := n.Get(ctx, "etl", 0, Linearizable)
		_, putErr := n.Put(ctx, editor, PutRequest{Name: "etl", Text: []byte("x")})
		for _, err := range []error{getErr, putErr} {
			if !errors.Is(err, ErrNotLeader) || !strings.Contains(err.Error(), "ask node "+first.id) {
				t.Errorf("%s: %v", n.id, err)
			}
		}
	}

	// A node that comes late gets a snapshot: the log's beginning is gone.
	if err := first.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	late := startNode(t, "n3", nil, nodes...)
	if err := first.raft.AddNonvoter("n3", "n3", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	waitEqual(t, append(nodes, late))

	// Another leader answers with all that the first acknowledged.
	mustPut(t, first.Store, "etl", "last")
	if err := first.raft.LeadershipTransfer().Error(); err != nil {
		t.Fatal(err)
	}
	var second *node
	waitFor(t, "another leader", func() bool { second = leader(t, nodes); return second != first })
	if v, err := second.Get(ctx, "etl", 0, Linearizable); err != nil || string(v.Text) != "last" {
		t.Errorf("%+v, %v", v, err)
	}
	mustPut(t, second.Store, "etl", "by the second")
	waitEqual(t, append(nodes, late))
	if _, err := second.VerifyAudit(ctx); err != nil {
		t.Error(err)
	}

	// Cut off, the leader does not answer from what it has.
	second.transport.DisconnectAll()
	waitFor(t, "the old leader to refuse", func() bool {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := second.Get(short, "etl", 0, Linearizable)
		return err != nil
	})
	if _, err := second.Get(ctx, "etl", 0, Stale); err != nil {
		t.Error(err)
	}
}

package wire

import (
	"io"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
)

// Three servers of Raft elect a leader over wires, and another when that is cut off.
func TestRaft(t *testing.T) {
	f := newFabric(t)
	names := []string{"one", "two", "three"}
	var servers []raft.Server
	for _, n := range names {
		servers = append(servers, raft.Server{ID: raft.ServerID(n), Address: raft.ServerAddress(n)})
	}
	wires, nodes := map[string]*Wire{}, map[string]*raft.Raft{}
	for _, n := range names {
		wires[n] = f.node(t, n, Limits{})
		nodes[n] = startRaft(t, wires[n], n)
	}
	if err := nodes["one"].BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		t.Fatal(err)
	}
	leader := func() string {
		for n, r := range nodes {
			if r.State() == raft.Leader && r.VerifyLeader().Error() == nil {
				return n
			}
		}
		return ""
	}
	var first string
	await.That(t, "a leader that has something agreed", func() bool { // a busy machine loses leaders
		if first = leader(); first == "" || nodes[first].Apply([]byte("hello"), 5*time.Second).Error() != nil {
			return false
		}
		a, id := nodes[first].LeaderWithID()
		return string(a) == first && string(id) == first
	})
	if err := wires[first].Close(); err != nil {
		t.Fatal(err)
	}
	await.That(t, "another leader", func() bool { l := leader(); return l != "" && l != first })
}

func startRaft(t testing.TB, w *Wire, name string) *raft.Raft {
	t.Helper()
	c := raft.DefaultConfig()
	c.LocalID, c.LogOutput = raft.ServerID(name), io.Discard
	c.Logger = hclog.NewNullLogger()
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 250*time.Millisecond, 250*time.Millisecond, 125*time.Millisecond
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: w.StreamLayer(Directory), MaxPool: 3, Timeout: time.Second, Logger: c.Logger,
	})
	store := raft.NewInmemStore()
	r, err := raft.NewRaft(c, &raft.MockFSM{}, store, store, raft.NewInmemSnapshotStore(), transport)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Shutdown().Error(); err != nil {
			t.Error(err)
		}
		_ = transport.Close()
	})
	return r
}

package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
)

// follower is one that does not lead.
func follower(t *testing.T, nodes []*node) (leads, follows *node) {
	t.Helper()
	leads = leader(t, nodes)
	for _, n := range nodes {
		if n != leads {
			follows = n
		}
	}
	return leads, follows
}

// lostSoFar is how many leases it has lost.
func (n *node) lostSoFar() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.lost)
}

// Changes of policies that wait for their turn at the leader take neither the lease of the node that
// has forwarded them, nor its claims and fences.
func TestChangesThatWaitLeaveRoom(t *testing.T) {
	nodes := form(t, 3)
	leads, n := follower(t, nodes)
	const many = 2 * maxChanges
	var begun atomic.Int64
	must(t, leads.control.HandleUpTo(topicPolicy, maxChanges, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		begun.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	lost := n.lostSoFar()
	ctx, cancel := context.WithTimeout(context.Background(), 3*testTTL)
	defer cancel()
	var all sync.WaitGroup
	var refused atomic.Int64
	for range many {
		all.Go(func() {
			if _, err := n.forwardPolicy(ctx, leads.name, []byte{1, 1}); err != nil && ctx.Err() == nil {
				refused.Add(1)
			}
		})
	}
	await.That(t, "there are as many as may be", func() bool { return begun.Load() == maxChanges && refused.Load() == many-maxChanges })
	seat, _ := n.Lease().Seat()
	soon, stop := context.WithTimeout(ctx, testTTL)
	defer stop()
	if err := n.Group().Fence(soon); err != nil {
		t.Errorf("a fence: %v", err)
	}
	if _, err := n.Group().Propose(soon, directory.Command{Op: directory.Claim, Seat: seat, Cell: directory.Cell{Tenant: "default", Name: "web"}, Request: "r"}); err != nil {
		t.Errorf("a claim: %v", err)
	}
	all.Wait()
	if n.lostSoFar() > lost {
		t.Error("it lost its lease")
	}
}

// Whatever takes all that two nodes usually ask of each other, the lease goes on.
func TestLeasesHaveRoomOfTheirOwn(t *testing.T) {
	nodes := form(t, 3)
	leads, n := follower(t, nodes)
	var stuck atomic.Int64
	must(t, leads.control.Handle("stuck", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		stuck.Add(1)
		defer stuck.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	lost := n.lostSoFar()
	ctx, cancel := context.WithTimeout(context.Background(), 3*testTTL)
	defer cancel()
	var all sync.WaitGroup
	for range 80 {
		all.Go(func() { // also when it is not begun at first
			for pause(ctx) {
				_, _ = n.control.Ask(ctx, leads.name, "stuck", nil)
			}
		})
	}
	await.That(t, "there is no more room", func() bool { return stuck.Load() == 64 })
	all.Wait()
	if n.lostSoFar() > lost {
		t.Error("it lost its lease")
	}
}

// Nothing but what leases hang on has their room.
func TestNothingElseIsUrgent(t *testing.T) {
	nodes := form(t, 2)
	leads, n := follower(t, nodes)
	for _, request := range []string{"", "{", `{"index":true}`, `{"poll":true,"index":true}`, `{"propose":{"op":"open"}}`, `{"poll":true,"propose":{"op":"open"}}`} {
		if _, err := n.control.Ask(soon(t), leads.name, topicLease, []byte(request)); err == nil {
			t.Errorf("%q is answered", request)
		}
	}
	if _, err := n.control.Ask(soon(t), leads.name, topicLease, []byte(`{"poll":true}`)); err != nil {
		t.Errorf("a term: %v", err)
	}
}

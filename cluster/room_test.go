package cluster

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
	wait "github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
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

// roomTTL is longer than a busy machine usually holds a lease up, and no longer than it is looked at.
const roomTTL = 6 * time.Second

// keepsItsLease looks whether a node keeps its lease for as long as one lasts that is not renewed, while what begin
// has begun goes on, until its context ends. A busy machine may hold a lease up, too, but not each time.
func (n *node) keepsItsLease(t *testing.T, begin func(ctx context.Context) (over func())) {
	t.Helper()
	for range 3 {
		await.That(t, "it has a lease", func() bool { return n.Lease().Valid() == nil })
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		over := begin(ctx)
		_, valid := n.Lease().Seat()
		lost := n.lostSoFar()
		wait.For(t.Context(), roomTTL)
		kept := valid && n.lostSoFar() == lost
		cancel()
		over()
		if kept {
			return
		}
	}
	t.Error("it loses its lease")
}

// Changes of policies that wait for their turn at the leader take neither the lease of the node that
// has forwarded them, nor its claims and fences.
func TestChangesThatWaitLeaveRoom(t *testing.T) {
	nodes := form(t, 3, lasting(roomTTL))
	leads, n := follower(t, nodes)
	const many = 2 * maxChanges
	var waiting, most atomic.Int64
	must(t, leads.control.HandleUpTo(topicPolicy, maxChanges, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		now := waiting.Add(1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
		}
		defer waiting.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	begun := 0
	n.keepsItsLease(t, func(ctx context.Context) (over func()) {
		begun++
		var all sync.WaitGroup
		var refused atomic.Int64
		for range many {
			all.Go(func() { // also when it is refused
				for told := false; pause(ctx); {
					if _, err := n.forwardPolicy(ctx, leads.name, []byte{1, 1}); !told && errors.Is(err, policystore.ErrNotLeader) {
						told = true
						refused.Add(1)
					}
				}
			})
		}
		await.That(t, "there are as many as may be", func() bool { return waiting.Load() == maxChanges && refused.Load() >= many-maxChanges })
		if err := n.Group().Fence(soon(t)); err != nil {
			t.Errorf("a fence: %v", err)
		}
		n.claims(t, directory.Cell{Tenant: "default", Name: "web" + strconv.Itoa(begun)})
		return all.Wait
	})
	if most.Load() > maxChanges {
		t.Errorf("%d were under way at one time", most.Load())
	}
}

// Whatever takes all that two nodes usually ask of each other, the lease goes on.
func TestLeasesHaveRoomOfTheirOwn(t *testing.T) {
	nodes := form(t, 3, lasting(roomTTL))
	leads, n := follower(t, nodes)
	var stuck atomic.Int64
	must(t, leads.control.Handle("stuck", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		stuck.Add(1)
		defer stuck.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	n.keepsItsLease(t, func(ctx context.Context) (over func()) {
		var all sync.WaitGroup
		for range 80 {
			all.Go(func() { // also when it is not begun at first
				for pause(ctx) {
					_, _ = n.control.Ask(ctx, leads.name, "stuck", nil)
				}
			})
		}
		await.That(t, "there is no more room", func() bool { return stuck.Load() == 64 })
		return all.Wait
	})
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

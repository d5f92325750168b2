package group

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/readindex"
)

// A follower knows what the leader has not applied yet: who reads by the leader afterwards waits for it.
func TestAheadOfLeader(t *testing.T) {
	w := steady(t, 3, time.Hour)
	leader := w.leader(t, "")
	must(t, claimCell(t, w, leader))
	stall := make(chan struct{})
	resume := sync.OnceFunc(func() { close(stall) })
	t.Cleanup(resume) // before the groups are closed
	leader.mu.Lock()
	leader.stall = stall
	leader.mu.Unlock()
	cells := []directory.Cell{{Tenant: "shop", Name: "b"}, {Tenant: "shop", Name: "c"}}
	var claims sync.WaitGroup
	for _, c := range cells {
		claims.Go(func() {
			if _, err := leader.Propose(t.Context(), directory.Command{Op: directory.Claim, Cell: c, Seat: leader.seat()}); err != nil {
				t.Error(err)
			}
		})
	}
	follower := w.nodes[w.others(leader.name)[0]]
	await.That(t, "a follower has both", func() bool { return len(follower.Records("shop")) == 3 })
	for _, n := range []*node{leader, follower} {
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if err := n.Fence(short); err == nil && len(n.Records("shop")) != 3 {
			t.Errorf("%s goes back to %d cells", n.name, len(n.Records("shop")))
		}
		cancel()
	}
	if got := len(leader.Records("shop")); got != 2 {
		t.Errorf("the leader has %d cells: this shows nothing", got)
	}
	resume()
	must(t, leader.Fence(t.Context()))
	if got := len(leader.Records("shop")); got != 3 {
		t.Errorf("the leader has %d cells", got)
	}
	claims.Wait()
}

// A leader that stood still while another was elected, and then reads what had been answered to it
// before, renews no lease and fences no read.
func TestDeposed(t *testing.T) {
	var configs []Config
	for i, timeout := range []time.Duration{20 * time.Second, 400 * time.Millisecond, 400 * time.Millisecond} {
		name := fmt.Sprint("n", i)
		configs = append(configs, Config{Dir: filepath.Join(t.TempDir(), name), Node: name, TTL: time.Hour, Timeout: timeout})
	}
	w := newNetworkAt(t, configs)
	n0, n1 := w.nodes["n0"], w.nodes["n1"]
	must(t, claimCell(t, w, w.leader(t, "")))
	var open func()
	await.That(t, "n0 has led, and has not heard that another does", func() bool {
		await.That(t, "n0 leads", func() bool { // with too few heartbeats for the others
			for _, n := range w.nodes {
				if n != n0 && n.leases.ready() {
					_ = n.Raft().LeadershipTransferToServer("n0", "n0").Error() // there may be another leader
				}
			}
			return n0.leases.ready()
		})
		w.deafen("n0")
		n0.layer.gate.Lock()
		open = sync.OnceFunc(n0.layer.gate.Unlock)
		t.Cleanup(open)
		n0.Raft().VerifyLeader() // sends heartbeats, whose answers do not arrive
		w.leader(t, "n0")
		if n0.leases.ready() && n0.Raft().State() == raft.Leader {
			return true
		}
		open() // the machine was busy before it was deaf
		w.deafen("")
		return false
	})
	renew, err := json.Marshal(request{Renew: &directory.Seat{Node: "n1", Session: n1.seat().Session}})
	must(t, err)
	var asks sync.WaitGroup
	for what, q := range map[string][]byte{"a lease": renew, "an index": []byte(`{"index":true}`)} {
		asks.Go(func() {
			if a := read(t, n0.Answer(t.Context(), "n1", q)); a.Kind != "no-leader" {
				t.Errorf("who leads no more gives %s: %+v", what, a)
			}
		})
	}
	<-time.After(200 * time.Millisecond) // until they wait, if they do
	open()
	asks.Wait()
}

// Who leads is asked of the others, and of whoever asks.
func TestStillLeads(t *testing.T) {
	w := newNetwork(t, 3, time.Hour)
	must(t, claimCell(t, w, w.leader(t, "")))
	var leader *node
	var term uint64
	await.That(t, "who leads does so still", func() bool { // the others may be slow to answer, or have another elected
		leader = w.leader(t, "")
		term = leader.Raft().CurrentTerm()
		voice := readindex.Voice{Node: w.others(leader.name)[0], Term: term}
		return leader.stillLeads(t.Context(), readindex.Voice{}) == nil && leader.stillLeads(t.Context(), voice) == nil
	})
	other := w.nodes[w.others(leader.name)[0]]
	await.That(t, "who does not lead does not", func() bool {
		return errors.Is(other.stillLeads(t.Context(), readindex.Voice{}), ErrNoLeader)
	})
	leader.leases.stop()
	if err := leader.stillLeads(t.Context(), readindex.Voice{}); !errors.Is(err, ErrNoLeader) {
		t.Errorf("who is not ready: %v", err)
	}
	leader.leases.begin(term-1, nil, 0, nil)
	if err := leader.stillLeads(t.Context(), readindex.Voice{}); !errors.Is(err, ErrNoLeader) {
		t.Errorf("who led an earlier term: %v", err)
	}
}

// Close does not wait for what Raft forgets when it ends, and neither does who proposed it.
func TestCloseWhileApplying(t *testing.T) {
	w := newNetwork(t, 1, time.Hour)
	n := w.leader(t, "")
	must(t, claimCell(t, w, n))
	stall := make(chan struct{})
	n.mu.Lock()
	n.stall = stall
	n.mu.Unlock()
	var proposals sync.WaitGroup
	for i := range 8 {
		before := n.Raft().LastIndex()
		proposals.Go(func() {
			c := directory.Cell{Tenant: "t", Name: fmt.Sprint(i)}
			if _, err := n.Propose(context.Background(), directory.Command{Op: directory.Claim, Cell: c, Seat: n.seat()}); err != nil && !errors.Is(err, ErrUncertain) {
				t.Error(err)
			}
		})
		await.That(t, "it is on the log", func() bool { return n.Raft().LastIndex() > before })
	}
	closed := make(chan error, 1)
	go func() { closed <- n.Close() }()
	<-n.life.Done()
	close(stall)
	ended := make(chan struct{})
	go func() {
		proposals.Wait()
		close(ended)
	}()
	await.That(t, "who proposed is answered", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	must(t, <-closed)
}

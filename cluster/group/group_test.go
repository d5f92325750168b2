package group

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/boottime"
)

var cellA = directory.Cell{Tenant: "shop", Name: "a"}

// hold has every node hold a lease, and returns when all have.
func (n *network) hold(t testing.TB) map[string]*Lease {
	t.Helper()
	all := map[string]*Lease{}
	for name, one := range n.nodes {
		all[name] = one.Hold(one)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = all[name].Release(ctx) // which may be cut
		})
	}
	await.That(t, "all have leases", func() bool {
		for _, l := range all {
			if l.Valid() != nil {
				return false
			}
		}
		return true
	})
	return all
}

// Any node changes the directory, and any node knows of it after a fence.
func TestProposeFromAnywhere(t *testing.T) {
	w := newNetwork(t, 3, time.Minute) // no lease is to lapse meanwhile
	w.hold(t)
	for name, n := range w.nodes {
		c := directory.Cell{Tenant: "shop", Name: name}
		out, err := n.claims(t, c, "r")
		if err != nil || out.Record.Owner != n.seat() {
			t.Errorf("%s claims: %+v, %v", name, out, err)
		}
		for other, o := range w.nodes {
			must(t, o.Fence(t.Context()))
			if r, ok := o.Find(c); !ok || r.Owner.Node != name {
				t.Errorf("%s does not know of the cell of %s: %+v", other, name, r)
			}
		}
		_, err = n.claims(t, c, "another")
		if !errors.Is(err, directory.ErrTaken) {
			t.Errorf("%s claims it again: %v", name, err)
		}
	}
	if all := w.nodes["n0"].Records("shop"); len(all) != 3 {
		t.Errorf("the cells are %v", all)
	}
}

// claims has a node claim a cell.
func (n *node) claims(t *testing.T, c directory.Cell, request string) (directory.Outcome, error) {
	t.Helper()
	return n.sure(t, directory.Command{Op: directory.Claim, Cell: c, Seat: n.seat(), Request: request})
}

// sure proposes what does no harm when it is done twice until it is known what came of it: a busy machine loses
// leaders.
func (n *node) sure(t *testing.T, c directory.Command) (out directory.Outcome, err error) {
	t.Helper()
	await.That(t, n.name+" is answered", func() bool {
		out, err = n.Propose(t.Context(), c)
		return !errors.Is(err, ErrUncertain) && !errors.Is(err, ErrNoLeader)
	})
	return out, err
}

// A node that is cut off gives its lease up before its cells go to others.
func TestLapse(t *testing.T) {
	w := newNetwork(t, 3, 3*time.Second) // a busy machine takes its time
	leases := w.hold(t)
	victim := w.leader(t, "") // the leader itself: the others must elect another, which waits
	seat := victim.seat()
	var holder *node
	for name, n := range w.nodes {
		if name != victim.name {
			holder = n
		}
	}
	_, err := victim.claims(t, cellA, "r")
	must(t, err)
	await.That(t, "its checkpoint is known", func() bool {
		_, err := victim.Propose(t.Context(), directory.Command{Op: directory.Save, Cell: cellA, Seat: seat, Epoch: 1, Revision: 1, Checkpoint: "h", Nodes: []string{victim.name, holder.name}})
		r, _ := victim.Find(cellA)
		return err == nil || r.Checkpoint == "h"
	})

	w.isolate(victim.name, true)
	var given time.Duration
	await.That(t, "the cell goes to who has the checkpoint", func() bool {
		r, _ := holder.Find(cellA)
		given = boottime.Now()
		return r.Epoch == 2 && r.Owner == holder.seat()
	})
	victim.mu.Lock()
	lost, was := victim.at[seat]
	victim.mu.Unlock()
	if !was || lost >= given {
		t.Errorf("the lease was lost at %s, the cell was given away at %s", lost, given)
	}
	if leases[victim.name].Valid() == nil {
		t.Error("the lease is valid")
	}

	w.isolate(victim.name, false)
	await.That(t, "the node has another session", func() bool { return victim.seat() != seat && leases[victim.name].Valid() == nil })
	must(t, victim.Fence(t.Context()))
	if r, _ := victim.Find(cellA); r.Owner != holder.seat() {
		t.Errorf("the cell is %+v", r)
	}
	_, err = victim.sure(t, directory.Command{Op: directory.Restart, Cell: cellA, Seat: seat, Epoch: 1})
	if !errors.Is(err, directory.ErrStale) {
		t.Errorf("its old self is answered %v", err)
	}
}

// Leases outlive a change of the leader.
func TestLeaderLeaves(t *testing.T) {
	const ttl = 6 * time.Second // a busy machine takes its time
	w := newNetwork(t, 3, ttl)
	leases := w.hold(t)
	before := map[string]directory.Seat{}
	for name, n := range w.nodes {
		before[name] = n.seat()
	}
	old := w.leader(t, "")
	await.That(t, "another leads", func() bool {
		for _, n := range w.nodes {
			if n != old && n.leases.ready() {
				return true
			}
		}
		_ = old.Raft().LeadershipTransfer().Error() // it may not lead, or the other be too slow
		return false
	})
	for range 4 { // longer than any lease that is not renewed
		<-time.After(ttl / 3)
		for name, l := range leases {
			if err := l.Valid(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, n := range w.nodes {
		if n.seat() != before[name] {
			t.Errorf("%s has another session", name)
		}
	}
}

// A node that leaves need not be waited for.
func TestRelease(t *testing.T) {
	w := newNetwork(t, 3, testTTL)
	leases := w.hold(t)
	n := w.nodes["n1"]
	seat := n.seat()
	o := w.nodes["n2"]
	released := leases["n1"].Release(t.Context())
	if errors.Is(released, ErrUncertain) { // a busy machine lost its leader: if it was not done, the lease ends it
		await.That(t, "the session ends", func() bool { return o.Sessions()["n1"] == 0 })
	} else {
		must(t, released)
	}
	must(t, o.Fence(t.Context()))
	if _, open := o.Sessions()["n1"]; open {
		t.Error("the session is open")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	// A busy machine may have lost an earlier session, which is another matter.
	if last := len(n.lost) - 1; last < 0 || n.lost[last].Session < seat.Session || slices.Contains(n.lost[:last], n.lost[last]) {
		t.Errorf("guests of %v were ended", n.lost)
	}
}

// A node whose leave was not heard says so again.
func TestReleaseAgain(t *testing.T) {
	w := newNetwork(t, 3, testTTL)
	leases := w.hold(t)
	leader := w.leader(t, "")
	n := w.nodes["n1"]
	if n == leader {
		n = w.nodes["n2"]
	}
	noTime, cancel := context.WithCancel(t.Context())
	cancel()
	if err := leases[n.name].Release(noTime); err == nil {
		t.Fatal("the leader cannot have heard it")
	}
	for err := ErrUncertain; errors.Is(err, ErrUncertain); {
		err = leases[n.name].Release(t.Context())
	}
	must(t, leader.Fence(t.Context()))
	if session, open := leader.Sessions()[n.name]; open {
		t.Errorf("session %d is open", session)
	}
}

// Without most of the others nothing is agreed, and callers are told.
func TestNoQuorum(t *testing.T) {
	w := newNetwork(t, 3, testTTL)
	w.hold(t)
	w.isolate("n0", true)
	ctx, cancel := context.WithTimeout(t.Context(), 2*testTTL)
	defer cancel()
	_, err := w.nodes["n0"].Propose(ctx, directory.Command{Op: directory.Claim, Cell: cellA, Seat: w.nodes["n0"].seat()})
	if !errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrUncertain) {
		t.Errorf("propose: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), testTTL)
	defer cancel()
	if err := w.nodes["n0"].Fence(ctx); !errors.Is(err, ErrNoLeader) {
		t.Errorf("fence: %v", err)
	}
}

// What other nodes ask is judged: they speak for themselves, in words that are known.
func TestAnswer(t *testing.T) {
	w := newNetwork(t, 1, time.Minute) // no lease is to lapse meanwhile
	w.hold(t)
	g := w.nodes["n0"]
	for name, c := range map[string]struct {
		from, request, kind string
	}{
		"not JSON":                {"n1", "hello", "invalid"},
		"nothing":                 {"n1", "{}", "invalid"},
		"a session of another":    {"n1", `{"propose":{"op":"open","seat":{"node":"n0"}}}`, "invalid"},
		"an end of another":       {"n1", fmt.Sprintf(`{"propose":{"op":"end","seat":{"node":"n0","session":%d}}}`, g.seat().Session), "invalid"},
		"another's lease":         {"n1", fmt.Sprintf(`{"renew":{"node":"n0","session":%d}}`, g.seat().Session), "invalid"},
		"a lease of no session":   {"n1", `{"renew":{"node":"n1","session":7}}`, "no-session"},
		"a change of a new kind":  {"n1", `{"propose":{"op":"explode"}}`, "invalid"},
		"a field of a new kind":   {"n1", `{"propose":{"op":"open","color":"red"}}`, "invalid"},
		"something too large":     {"n1", fmt.Sprintf(`{"propose":%q}`, make([]byte, maxRequest)), "invalid"},
		"an index":                {"n1", `{"index":true}`, ""},
		"a term":                  {"n1", Probe, ""},
		"a session of its own":    {"n1", `{"propose":{"op":"open","seat":{"node":"n1"}}}`, ""},
		"an abort of no cell":     {"n1", `{"propose":{"op":"abort","epoch":1}}`, "no-cell"},
		"its own lease":           {"n0", fmt.Sprintf(`{"renew":{"node":"n0","session":%d}}`, g.seat().Session), ""},
		"a proposal of a mistake": {"n1", `{"propose":7}`, "invalid"},
	} {
		if a := read(t, g.Answer(t.Context(), c.from, []byte(c.request))); a.Kind != c.kind {
			t.Errorf("%s: %+v, not %q", name, a, c.kind)
		}
	}
}

// What asks whether a node is there does not wait behind other requests.
func TestProbeIsUrgent(t *testing.T) {
	if !Urgent([]byte(Probe)) {
		t.Errorf("%s waits", Probe)
	}
}

// A leader does not renew a lease whose end it has proposed.
func TestRenewAfterEnd(t *testing.T) {
	var l leases
	seat := directory.Seat{Node: "n1", Session: 4}
	open := map[string]uint64{"n1": 4}
	if err := l.extend(seat, 10); !errors.Is(err, ErrNoLeader) {
		t.Errorf("without leading: %v", err)
	}
	ttl := func(node string) time.Duration {
		if node == "n1" {
			return 80 // longer than the others'
		}
		return 50
	}
	l.begin(1, open, 20, ttl)
	if all := l.lapsed(open, 99, ttl); len(all) != 0 {
		t.Errorf("a new leader ends %v before a whole lease", all)
	}
	must(t, l.extend(seat, 120))
	if all := l.lapsed(open, 119, ttl); len(all) != 0 {
		t.Errorf("renewed, and yet ended: %v", all)
	}
	if all := l.lapsed(open, 120, ttl); len(all) != 1 || all[0] != seat {
		t.Errorf("lapsed are %v", all)
	}
	if err := l.extend(seat, 200); !errors.Is(err, directory.ErrNoSession) {
		t.Errorf("renewed after its end: %v", err)
	}
	open["n2"] = 5
	l.lapsed(open, 130, ttl)
	if all := l.lapsed(open, 179, ttl); len(all) != 1 {
		t.Errorf("a new session has no whole lease: %v", all)
	}
}

// A node whose leases last longer than the leader's would is not ended early: how long they last is its
// session's, whoever leads.
func TestLongerLease(t *testing.T) {
	var configs []Config
	for i, ttl := range []time.Duration{testTTL, 4 * testTTL, testTTL} {
		name := fmt.Sprint("n", i)
		configs = append(configs, Config{Dir: filepath.Join(t.TempDir(), name), Node: name, TTL: ttl, Timeout: 150 * time.Millisecond})
	}
	w := newNetworkAt(t, configs)
	w.leader(t, "")
	n1 := w.nodes["n1"]
	lease := n1.Hold(n1)
	await.That(t, "it has a lease", func() bool { return lease.Valid() == nil })
	w.isolate("n1", true)
	lease.mu.Lock()
	seat, until := lease.seat, lease.until
	lease.mu.Unlock()
	if seat.Session == 0 {
		t.Fatal("it had none any more")
	}
	ends := w.leader(t, "n1") // n1 may have led
	await.That(t, "its session ends", func() bool { return ends.Sessions()["n1"] == 0 })
	// It gives up a third of its lease, which counts from before it asked for it.
	if early := until + 4*testTTL/3 - boottime.Now(); early > 0 {
		t.Errorf("its session ends %s before its lease", early)
	}
	n1.mu.Lock()
	defer n1.mu.Unlock()
	if at, lapsed := n1.at[seat]; !lapsed || at > boottime.Now() {
		t.Errorf("it goes on: %v", lapsed)
	}
}

// Every node hears of every change, of one cell in their order.
func TestChanged(t *testing.T) {
	w := steady(t, 3, time.Minute)
	w.hold(t)
	n := w.nodes["n1"]
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			c := directory.Cell{Tenant: "t", Name: fmt.Sprint(i)}
			if _, err := n.Propose(t.Context(), directory.Command{Op: directory.Claim, Cell: c, Seat: n.seat()}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for name, o := range w.nodes {
		await.That(t, name+" hears of all", func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			epoch := map[directory.Cell]uint64{}
			for _, r := range o.heard {
				if r.Epoch < epoch[r.Cell] {
					t.Errorf("%s hears of %s in the wrong order", name, r.Cell)
				}
				epoch[r.Cell] = r.Epoch
			}
			return len(epoch) == 50
		})
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"nothing":               {},
		"a margin of the whole": {Dir: "x", Node: "n", Transport: &raft.NetworkTransport{}, Peers: &node{}, Margin: time.Second, TTL: time.Second},
	} {
		if _, err := Open(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkPropose(b *testing.B) {
	w := newNetwork(b, 3, testTTL)
	w.hold(b)
	leader := w.leader(b, "")
	out, err := leader.Propose(b.Context(), directory.Command{Op: directory.Claim, Cell: cellA, Seat: leader.seat()})
	must(b, err)
	for b.Loop() {
		out, err = leader.Propose(b.Context(), directory.Command{Op: directory.Restart, Cell: cellA, Seat: leader.seat(), Epoch: out.Record.Epoch})
		must(b, err)
	}
}

func BenchmarkFence(b *testing.B) {
	w := newNetwork(b, 3, testTTL)
	leader := w.leader(b, "")
	for b.Loop() {
		must(b, leader.Fence(b.Context()))
	}
}

package policystore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
)

// startFounded starts a node that found made the first of a group.
func startFounded(t *testing.T, dir string) *network {
	t.Helper()
	for range 2 { // the second time it does nothing
		if err := Found(dir, "n0"); err != nil {
			t.Fatal(err)
		}
	}
	w := newNetwork()
	w.start(t, "n0", Config{Dir: dir}, Cluster{})
	w.leader(t, "")
	return w
}

func TestMembers(t *testing.T) {
	ctx, w := t.Context(), startFounded(t, t.TempDir())
	n0 := w.nodes["n0"]
	mustPut(t, n0.Store, "p", "one")
	w.start(t, "n1", Config{}, Cluster{})
	n2 := w.start(t, "n2", Config{}, Cluster{})
	join(t, w, "n1", true)
	join(t, w, "n2", false)
	join(t, w, "n1", false) // a voter stays one
	want := []Member{{"n0", true}, {"n1", true}, {"n2", false}}
	for _, n := range w.all() {
		await.That(t, n.id+" to know the members", func() bool {
			got, err := n.Members()
			return err == nil && slices.Equal(got, want)
		})
		if v, err := n.Get(ctx, "p", 0, Linearizable); err != nil || string(v.Text) != "one" {
			t.Errorf("%s: %q, %v", n.id, v.Text, err)
		}
	}
	mustPut(t, n2.Store, "p", "two") // at one that does not vote
	await.That(t, "one that does not lead to say so", func() bool { return errors.Is(w.follower(t).AddVoter(ctx, "n2"), ErrNotLeader) })
	if lag, err := n0.Lag(ctx, "n9"); err == nil {
		t.Errorf("of a node that there is not: %d", lag)
	}
	join(t, w, "n2", true)
	w.lead(t, "to hand over", func(leader *node) error { return leader.HandOver(ctx) })
	w.lead(t, "to remove n0", func(leader *node) error { return leader.Remove(ctx, "n0") })
	second := w.leader(t, "n0")
	w.lead(t, "to remove itself", func(leader *node) error { return leader.Remove(ctx, second.id) })
	last := w.leader(t, second.id)
	if err := last.Remove(ctx, last.id); err == nil {
		t.Error("the last voter is gone")
	}
	mustPut(t, last.Store, "p", "three")
	join(t, w, "n0", true) // it may come again, as it is
	await.That(t, "the same state", func() bool {
		v, err := n0.Get(ctx, "p", 0, Stale)
		return err == nil && string(v.Text) == "three"
	})
	mustPut(t, n0.Store, "p", "four")
}

// TestFoundWithPolicies makes a node by itself a cluster's first: others get what it had.
func TestFoundWithPolicies(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *Store){
		"log":      func(*testing.T, *Store) {},
		"snapshot": func(t *testing.T, s *Store) { snapshotNow(t, s) },
		"snapshot alone": func(t *testing.T, s *Store) {
			snapshotNow(t, s)
			first, _ := s.log.FirstIndex()
			last, _ := s.log.LastIndex()
			if err := s.log.DeleteRange(first, last); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if has, err := Exists(dir); err != nil || has {
				t.Fatal(has, err)
			}
			alone := mustOpen(t, Config{Dir: dir})
			for range 30 {
				mustPut(t, alone, "p", "old")
			}
			secret, _ := mustCreate(t, alone, TokenRequest{Name: "m", Role: Admin})
			prepare(t, alone)
			mustClose(t, alone)
			if has, err := Exists(dir); err != nil || !has {
				t.Fatal(has, err)
			}
			w := startFounded(t, dir)
			w.start(t, "n1", Config{}, Cluster{})
			join(t, w, "n1", true)
			v, err := w.nodes["n1"].Put(t.Context(), editor, PutRequest{Name: "p", Text: []byte("new"), Expect: number(30)})
			if err != nil || v.Number != 31 {
				t.Errorf("%+v, %v", v, err)
			}
			authenticated(t, w.nodes["n1"], secret)
			w.waitEqual(t)
		})
	}
}

func snapshotNow(t *testing.T, s *Store) {
	t.Helper()
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
}

// TestWrongDirectory opens directories that are something else's.
func TestWrongDirectory(t *testing.T) {
	alone := t.TempDir()
	s := mustOpen(t, Config{Dir: alone})
	mustPut(t, s, "p", "x")
	mustClose(t, s)
	open := func(dir string) error {
		_, transport := raft.NewInmemTransport("n1")
		s, err := Open(t.Context(), Config{Dir: dir, NodeID: "n1", Cluster: &Cluster{Transport: transport, Forward: newNetwork().start(t, "x", Config{}, Cluster{}).config.Cluster.Forward}})
		if err == nil {
			mustClose(t, s)
		}
		return err
	}
	if err := open(alone); !errors.Is(err, ErrInvalid) {
		t.Errorf("a node that joins, with policies of its own: %v", err)
	}
	w := startGroup(t, 3)
	putAnywhere(t, w, "x")
	w.waitEqual(t)
	n := w.follower(t)
	mustClose(t, n.Store)
	if err := Found(n.dir, n.id); !errors.Is(err, ErrInvalid) {
		t.Errorf("a cluster's, to be founded anew: %v", err)
	}
	if _, err := Open(t.Context(), Config{Dir: n.dir, NodeID: n.id}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a cluster's, by itself: %v", err)
	}
	if _, err := Open(t.Context(), Config{Dir: t.TempDir(), Cluster: &Cluster{}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a cluster without a transport: %v", err)
	}
}

// TestLostMajority makes a new cluster of what one node of an old one has.
func TestLostMajority(t *testing.T) {
	w := startGroup(t, 3)
	putAnywhere(t, w, "agreed")
	w.waitEqual(t)
	left := w.follower(t)
	for _, n := range w.all() {
		mustClose(t, n.Store)
	}
	for _, name := range []string{logFile, snapDir} {
		if err := os.RemoveAll(filepath.Join(left.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Recover(Config{Dir: left.dir}, nil); err != nil {
		t.Fatal(err)
	}
	again := startFounded(t, left.dir)
	again.start(t, "n1", Config{}, Cluster{})
	join(t, again, "n1", true)
	if v, err := again.nodes["n1"].Get(t.Context(), "etl", 0, Linearizable); err != nil || string(v.Text) != "agreed" {
		t.Errorf("%q, %v", v.Text, err)
	}
	putAnywhere(t, again, "and on")
	again.waitEqual(t)
}

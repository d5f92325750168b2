package policystore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

// putAnywhere makes a version at a node that does not lead. While nobody leads for long it asks again.
func putAnywhere(t testing.TB, w *network, text string) (v Version) {
	t.Helper()
	r := PutRequest{Name: "etl", Text: []byte(text), RequestID: "test:" + rand.Text()}
	await.That(t, "a change", func() (made bool) {
		var err error
		v, err = w.follower(t).Put(t.Context(), editor, r)
		if err != nil && !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUncertain) {
			t.Fatal(err)
		}
		return err == nil
	})
	return v
}

// TestCluster changes policies at all nodes, and reads at all: each sees all that was answered at
// any.
func TestCluster(t *testing.T) {
	ctx, w := t.Context(), startGroup(t, 3)
	nodes := w.all()
	for i := range 50 {
		n := nodes[i%3]
		v, err := n.Put(ctx, editor, PutRequest{Name: "etl", Text: fmt.Append(nil, i), Expect: number(uint64(i))})
		if err != nil || v.Number != uint64(i+1) || string(v.Text) != fmt.Sprint(i) {
			t.Fatalf("%s: %+v, %v", n.id, v, err)
		}
		for _, n := range nodes {
			if v, err := n.Get(ctx, "etl", 0, Linearizable); err != nil || v.Number != uint64(i+1) {
				t.Errorf("%s: %+v, %v", n.id, v, err)
			}
		}
	}
	w.waitEqual(t)
	for _, n := range nodes {
		if sum, err := n.VerifyAudit(ctx); err != nil || sum.Records != 50 {
			t.Errorf("%s: %+v, %v", n.id, sum, err)
		}
		if err := n.Fresh(); err != nil {
			t.Error(err)
		}
	}

	// A node that comes late gets a snapshot: the log's beginning is gone.
	if err := w.leader(t, "").raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	w.start(t, "n3", Config{}, Cluster{})
	join(t, w, "n3", true)
	w.waitEqual(t)

	// Another leader answers with all that the first acknowledged.
	last := putAnywhere(t, w, "last")
	w.lead(t, "to hand over", func(leader *node) error { return leader.HandOver(ctx) })
	for _, n := range w.all() {
		if v, err := n.Get(ctx, "etl", 0, Linearizable); err != nil || v.Index != last.Index {
			t.Errorf("%s: %+v, %v", n.id, v, err)
		}
	}
	putAnywhere(t, w, "by the second")
	w.waitEqual(t)
}

// join makes a node a member, and a voter when it has caught up.
func join(t testing.TB, w *network, id string, voter bool) {
	t.Helper()
	w.lead(t, "to add "+id, func(leader *node) error { return leader.AddNonvoter(t.Context(), id) })
	if !voter {
		return
	}
	await.That(t, id+" to catch up", func() bool {
		lag, err := w.leader(t, "").Lag(t.Context(), id)
		return err == nil && lag == 0
	})
	w.lead(t, "to have "+id+" vote", func(leader *node) error { return leader.AddVoter(t.Context(), id) })
}

// TestCutOff has a leader cut off: the others go on, and it changes and promises nothing.
func TestCutOff(t *testing.T) {
	ctx, w := t.Context(), startGroup(t, 3)
	putAnywhere(t, w, "before")
	cut := w.leader(t, "")
	w.isolate(cut.id, true)
	other := w.leader(t, cut.id)
	if _, err := other.Put(ctx, editor, PutRequest{Name: "etl", Text: []byte("after")}); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if v, err := cut.Get(short, "etl", 0, Linearizable); err == nil {
		t.Errorf("it answers %+v", v)
	}
	if v, err := cut.Get(ctx, "etl", 0, Stale); err != nil || v.Number != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	short, cancel = context.WithTimeout(ctx, time.Second)
	defer cancel()
	if v, err := cut.Put(short, editor, PutRequest{Name: "etl", Text: []byte("lost")}); !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUncertain) {
		t.Errorf("%+v, %v", v, err)
	}
	w.isolate(cut.id, false)
	if v, err := cut.Get(ctx, "etl", 0, Linearizable); err != nil || string(v.Text) != "after" {
		t.Errorf("%q, %v", v.Text, err)
	}
	w.waitEqual(t)
}

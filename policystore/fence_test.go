package policystore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

// TestStillLeads asks a leader whether it leads, with others in several states.
func TestStillLeads(t *testing.T) {
	w := startGroup(t, 3)
	putAnywhere(t, w, "x")
	leader, others := w.leader(t, ""), []string{}
	for _, n := range w.all() {
		if n != leader {
			others = append(others, n.id)
		}
	}
	term := leader.raft.CurrentTerm()
	for _, id := range others {
		await.That(t, id+" to be in the leader's term", func() bool { return w.nodes[id].raft.CurrentTerm() == term })
	}
	ask := func(term uint64, by voice) error { return leader.stillLeads(t.Context(), term, by) }
	if err := ask(term, voice{}); err != nil {
		t.Error(err)
	}
	if err := ask(term-1, voice{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("when others are in a later term: %v", err)
	}
	w.hang(others[0], true)
	if err := ask(term, voice{}); err != nil {
		t.Errorf("when one does not answer: %v", err)
	}
	w.hang(others[1], true)
	began := time.Now()
	if err := ask(term, voice{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("when nobody answers: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it waits for nobody for %v", took)
	}
	for name, c := range map[string]struct {
		by voice
		ok bool
	}{
		"a voter in the term":     {voice{Node: others[0], Term: term}, true},
		"a voter in an older one": {voice{Node: others[0], Term: term - 1}, false},
		"one that does not vote":  {voice{Node: "n9", Term: term}, false},
		"the leader's own, again": {voice{Node: leader.id, Term: term}, false},
	} {
		if err := ask(term, c.by); (err == nil) != c.ok {
			t.Errorf("nobody answers, and it is asked by %s: %v", name, err)
		}
	}
}

// TestAheadOfLeader reads at a follower that has applied what the leader has not: who reads by the
// leader afterwards sees it, too.
func TestAheadOfLeader(t *testing.T) {
	w := startGroup(t, 3)
	putAnywhere(t, w, "one")
	w.waitEqual(t)
	leader, n := w.leader(t, ""), w.follower(t)
	tx, err := leader.state.db.Begin(true) // while it lasts, nothing is applied
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := leader.Put(t.Context(), editor, PutRequest{Name: "etl", Text: []byte("two")})
		done <- err
	}()
	seen := await.Within(10*time.Second, func() bool {
		v, err := n.Get(t.Context(), "etl", 0, Stale)
		return err == nil && v.Number == 2
	})
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if v, err := leader.Get(short, "etl", 0, Linearizable); err == nil {
		t.Errorf("the leader goes back to version %d", v.Number)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if !seen {
		t.Error("followers wait for the leader")
	}
	if v, err := leader.Get(t.Context(), "etl", 0, Linearizable); err != nil || v.Number != 2 {
		t.Errorf("the leader answers %+v, %v", v, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

package policystore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
)

// TestStillLeads asks a leader whether it leads, with others in several states. One that a busy machine deposes
// meanwhile is none to judge by.
func TestStillLeads(t *testing.T) {
	w := startGroup(t, 3)
	putAnywhere(t, w, "x")
	await.That(t, "a leader that stays it", func() bool {
		leader := w.leader(t, "")
		term := leader.raft.CurrentTerm()
		leads := func() bool { return leader.raft.State() == raft.Leader && leader.raft.CurrentTerm() == term }
		wrong := askStillLeads(t, w, leader, term, leads)
		if !leads() {
			return false
		}
		for _, what := range wrong {
			t.Error(what)
		}
		return true
	})
}

// askStillLeads says what is wrong with the answers of a leader in a term, while it leads.
func askStillLeads(t *testing.T, w *network, leader *node, term uint64, leads func() bool) (wrong []string) {
	var others []string
	for _, n := range w.all() {
		if n != leader {
			others = append(others, n.id)
			defer w.hang(n.id, false)
			await.That(t, n.id+" to be in the leader's term", func() bool { return n.raft.CurrentTerm() == term || !leads() })
		}
	}
	ask := func(term uint64, by voice) error { return leader.stillLeads(t.Context(), term, by) }
	yes := func(when string, by voice) {
		var err error
		if !await.Within(20*time.Second, func() bool { err = ask(term, by); return err == nil || !leads() }) { // others may be slow to answer
			wrong = append(wrong, fmt.Sprintf("%s: %v", when, err))
		}
	}
	no := func(when string, term uint64, by voice) {
		if err := ask(term, by); !errors.Is(err, ErrNotLeader) {
			wrong = append(wrong, fmt.Sprintf("%s: %v", when, err))
		}
	}
	yes("when all answer", voice{})
	no("when others are in a later term", term-1, voice{})
	w.hang(others[0], true)
	yes("when one does not answer", voice{})
	w.hang(others[1], true)
	began := time.Now()
	no("when nobody answers", term, voice{})
	if took := time.Since(began); took > 20*time.Second {
		wrong = append(wrong, fmt.Sprintf("it waits for nobody for %v", took))
	}
	const asked = "nobody answers, and it is asked by "
	yes(asked+"a voter in the term", voice{Node: others[0], Term: term})
	no(asked+"a voter in an older one", term, voice{Node: others[0], Term: term - 1})
	no(asked+"one that does not vote", term, voice{Node: "n9", Term: term})
	no(asked+"the leader itself, again", term, voice{Node: leader.id, Term: term})
	return wrong
}

// TestAheadOfLeader reads at a follower that has applied what the leader has not: who reads by the
// leader afterwards sees it, too.
func TestAheadOfLeader(t *testing.T) {
	w, leader, n := startPair(t)
	putAnywhere(t, w, "one")
	w.waitEqual(t)
	tx, err := leader.state.db.Begin(true) // while it lasts, nothing is applied
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := leader.Put(t.Context(), editor, PutRequest{Name: "etl", Text: []byte("two")})
		done <- err
	}()
	seen := await.Within(20*time.Second, func() bool {
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
	if err := <-done; err != nil && !errors.Is(err, ErrUncertain) { // it waits for the leader for seconds, too
		t.Error(err)
	}
}

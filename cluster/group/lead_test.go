package group

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/internal/rafttest"
	"github.com/pyisolate/pyisolate/internal/readindex"
)

// A node that applies nothing any more gives the lead away, fences nothing and opens no session.
func TestFailedLeader(t *testing.T) {
	n := newNetwork(t, 3, time.Second)
	leases := n.hold(t)
	sick := n.leader(t, "")
	sick.state.mu.Lock()
	sick.state.failure = fmt.Errorf("an entry of a newer version: %w", directory.ErrInvalid)
	sick.state.mu.Unlock()
	for _, ask := range []func() error{
		func() error {
			_, err := sick.change(t.Context(), directory.Command{Op: directory.Abort, Cell: cellA, Epoch: 1})
			return err
		},
		func() error {
			a := read(t, sick.Answer(t.Context(), "nobody", []byte(`{"propose":{"op":"abort","epoch":1}}`)))
			return a.err()
		},
		func() error {
			a := read(t, sick.Answer(t.Context(), "nobody", []byte(`{"enrol":{"op":"retire","name":"n9"}}`)))
			return a.err()
		},
		func() error { return sick.renew(sick.seat(), readindex.Voice{Node: sick.name}) },
	} {
		if err := ask(); !errors.Is(err, ErrNoLeader) {
			t.Errorf("it answers %v", err)
		}
	}
	if _, err := sick.sure(t, directory.Command{Op: directory.Abort, Cell: cellA, Epoch: 1}); !errors.Is(err, directory.ErrNoCell) {
		t.Errorf("by way of the next leader: %v", err)
	}
	n.leader(t, sick.name)
	await.That(t, "it has no lease, and the others have", func() bool {
		for name, l := range leases {
			if (l.Valid() == nil) == (name == sick.name) {
				return false
			}
		}
		return true
	})
	if err := leases[sick.name].open(t.Context()); err == nil {
		t.Error("it opens a session")
	}
	if err := sick.stillLeads(t.Context(), readindex.Voice{}); !errors.Is(err, ErrNoLeader) {
		t.Errorf("it fences: %v", err)
	}
}

// A node that comes to lead again while the message is under way by which it gave the lead away waits for the
// end of that, and then does a leader's work.
func TestLeadsAgainBeforeItsTransferEnds(t *testing.T) {
	w := newNetwork(t, 3, testTTL)
	one := w.leader(t, "")
	var others []*node
	for _, n := range w.nodes {
		if n != one {
			others = append(others, n)
		}
	}
	again := func() { rafttest.Elect(t, others[0].sends, one.name, one.Raft()) }
	release := rafttest.GivesAway(t, &one.sends.lead, one.Raft(), again)
	defer release()
	rafttest.Elect(t, others[0].sends, others[1].name, others[1].Raft())
	await.That(t, "it leads again, and is refused", func() bool {
		again()
		return errors.Is(one.Raft().Barrier(0).Error(), raft.ErrLeadershipTransferInProgress)
	})
	await.That(t, "it has been told that it leads", func() bool { return len(one.Raft().LeaderCh()) == 0 })
	pause.For(t.Context(), 5*barrierPause) // it is refused, too
	if one.Leading() {
		t.Error("it says that it knows what it was refused")
	}
	release()
	await.That(t, "it does a leader's work", func() bool {
		if one.Raft().State() != raft.Leader { // a busy machine has lost it
			again()
		}
		return await.Within(time.Second, one.Leading)
	})
}

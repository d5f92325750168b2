package policystore

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/internal/rafttest"
)

// A node that comes to lead again while the message is under way by which it gave the lead away waits for the
// end of that, and then does a leader's work.
func TestLeadsAgainBeforeItsTransferEnds(t *testing.T) {
	w := startGroup(t, 3)
	one := w.leader(t, "")
	var others []*node
	for _, n := range w.all() {
		if n != one {
			others = append(others, n)
		}
	}
	again := func() { rafttest.Elect(t, others[0].transport, one.id, one.raft) }
	release := rafttest.GivesAway(t, &one.transport.lead, one.raft, again)
	defer release()
	rafttest.Elect(t, others[0].transport, others[1].id, others[1].raft)
	await.That(t, "it leads again, and is refused", func() bool {
		again()
		return errors.Is(one.raft.Barrier(0).Error(), raft.ErrLeadershipTransferInProgress)
	})
	await.That(t, "it has been told that it leads", func() bool { return len(one.raft.LeaderCh()) == 0 })
	pause.For(t.Context(), 5*barrierPause) // it is refused, too
	if one.Leads() {
		t.Error("it says that it knows what it was refused")
	}
	release()
	await.That(t, "it does a leader's work", func() bool {
		if one.raft.State() != raft.Leader { // a busy machine has lost it
			again()
		}
		return await.Within(time.Second, one.Leads)
	})
	mustPut(t, one.Store, "p", "one")
}

package policystore

import (
	"errors"
	"testing"

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
	held, release := one.transport.lead.Hold()
	defer release()
	_ = one.raft.LeadershipTransfer()
	<-held
	rafttest.Elect(t, others[0].transport, others[1].id, others[1].raft)
	rafttest.Elect(t, others[0].transport, one.id, one.raft)
	if err := one.raft.Barrier(0).Error(); !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		t.Fatalf("it is not refused: %v", err)
	}
	await.That(t, "it has been told that it leads", func() bool { return len(one.raft.LeaderCh()) == 0 })
	pause.For(t.Context(), 5*barrierPause) // it is refused, too
	if one.Leads() {
		t.Error("it says that it knows what it was refused")
	}
	release()
	await.That(t, "it does a leader's work", one.Leads)
	mustPut(t, one.Store, "p", "one")
}

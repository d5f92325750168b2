package group

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
)

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
	held, release := one.sends.hold()
	defer release()
	_ = one.Raft().LeadershipTransfer()
	<-held
	others[0].elect(t, others[1])
	others[0].elect(t, one)
	if err := one.Raft().Barrier(0).Error(); !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		t.Fatalf("it is not refused: %v", err)
	}
	await.That(t, "it has been told that it leads", func() bool { return len(one.Raft().LeaderCh()) == 0 })
	pause.For(t.Context(), 5*barrierPause) // it is refused, too
	if one.Leading() {
		t.Error("it says that it knows what it was refused")
	}
	release()
	await.That(t, "it does a leader's work", one.Leading)
}

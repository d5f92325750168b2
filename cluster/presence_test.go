package cluster

import (
	"fmt"
	"testing"

	"github.com/pyisolate/pyisolate/cluster/members"
	"github.com/pyisolate/pyisolate/internal/await"
)

// alone is a node n1 of a cluster whose other one, n2, is not started.
func alone(t *testing.T) *node {
	t.Helper()
	n1 := found(t, "n1")
	n1.open()
	join(t, n1, "n2")
	await.That(t, "both are members", func() bool { return n1.isMember("n2") && n1.presence.of("n1") == Alive })
	return n1
}

// Whoever has a key of gossip can make up names without end. What is kept of them has one.
func TestNamesThatGossipMakesUp(t *testing.T) {
	t.Parallel()
	n1 := alone(t)
	for i := range 10_000 {
		m := members.Member{Name: fmt.Sprint("ghost-", i)}
		n1.seen(members.Event{Change: members.Joined, Member: m})
		n1.seen(members.Event{Change: []members.Change{members.Failed, members.Left}[i%2], Member: m})
	}
	n1.seen(members.Event{Change: members.Failed, Member: members.Member{Name: "n2"}})
	n1.presence.mu.Lock()
	last, wire := len(n1.presence.last), len(n1.presence.wire)
	n1.presence.mu.Unlock()
	if last > 2 || wire > 2 {
		t.Errorf("of two members %d states and %d addresses are kept", last, wire)
	}
	if is := n1.presence.of("n2"); is != Failed {
		t.Errorf("a member that failed is %s", is)
	}
}

// Who went while a node could not follow gossip is missed all the same.
func TestMissedWhileBehind(t *testing.T) {
	t.Parallel()
	n1 := alone(t)
	n1.presence.set("n2", Alive, "127.0.0.1:1")
	n1.presence.set("ghost", Alive, "127.0.0.1:1")
	events := n1.watchAgain()
	if e := <-events; e.Change != members.Joined || e.Member.Name != "n1" {
		t.Errorf("it begins with %+v", e)
	}
	for node, want := range map[string]Presence{"n2": Failed, "ghost": Unseen} {
		if is := n1.presence.of(node); is != want || n1.presence.at(node) != "" {
			t.Errorf("%s is %s at %q", node, is, n1.presence.at(node))
		}
	}
}

// A node that came back while it was asked whether it is there is not taken for gone: its links would be ended, and with
// them what has gone to it since.
func TestBackWhileItWasAsked(t *testing.T) {
	t.Parallel()
	n1, n2 := alone(t), members.Member{Name: "n2", Meta: members.Meta{Wire: "127.0.0.1:1"}}
	n1.seen(members.Event{Change: members.Failed, Member: n2})
	if !n1.isMissing("n2") {
		t.Error("it does not answer, and is not missing")
	}
	n1.seen(members.Event{Change: members.Joined, Member: n2})
	if n1.isMissing("n2") {
		t.Error("it is back, and missing")
	}
}

package clustertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

// endWithin is how long a node takes to end on SIGTERM when nothing is under way in it. It is the
// same for one that reaches nobody.
const endWithin = 5 * time.Second

// soon is how long a node waits at the most for others to agree.
const soon = 5 * time.Second

// stateOf a node is as another one tells it.
func stateOf(ctx context.Context, at, of *fabrictest.Node) string {
	answer, err := at.Client.Cluster.ListMembers(ctx, connect.NewRequest(&pb.ListMembersRequest{}))
	if err != nil {
		return err.Error()
	}
	for _, m := range answer.Msg.GetMembers() {
		if m.GetName() == of.Name {
			return m.GetState()
		}
	}
	return "no member"
}

// end ends a node as a service manager does.
func end(t *testing.T, n *fabrictest.Node) {
	t.Helper()
	began := time.Now()
	if err := n.Terminate(); err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	t.Logf("%s has ended after %s", n.Name, took)
	if took > endWithin {
		t.Errorf("%s has ended after %s", n.Name, took)
	}
}

// A node that is ended ends soon, and the others know that it did not fail.
func TestEnd(t *testing.T) {
	f := form(t, fabrictest.Options{})
	ctx := within(t, time.Minute)
	status, err := f.Nodes[0].Client.Cluster.Status(ctx, connect.NewRequest(&pb.StatusRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	leader := f.Node(status.Msg.GetLeader())
	var others []*fabrictest.Node
	for _, n := range f.Nodes {
		if n != leader {
			others = append(others, n)
		}
	}
	end(t, leader)
	for _, n := range others {
		if !fabrictest.Until(ctx, func() bool { return stateOf(ctx, n, leader) == "left" }) {
			t.Errorf("%s says that %s is %s", n.Name, leader.Name, stateOf(ctx, n, leader))
		}
	}
	end(t, others[0]) // which leaves no majority
	end(t, others[1])
}

// A node without a majority says so to who wants something of it, and ends as soon as any other.
func TestWithoutAMajority(t *testing.T) {
	f := form(t, fabrictest.Options{})
	for _, n := range f.Nodes[1:] {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	_, err := f.Nodes[0].Client.Cells.Spawn(within(t, time.Minute), connect.NewRequest(&pb.SpawnRequest{Name: "c"}))
	var answered *fault.Error
	if took := time.Since(began); !errors.As(err, &answered) || answered.Kind != "Unavailable" && answered.Kind != "NotLeader" || took > 2*soon {
		t.Errorf("a spawn came to this after %s: %v", took, err)
	}
	end(t, f.Nodes[0])
}

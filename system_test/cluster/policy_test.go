package clustertest

import (
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

const (
	permits = "version: 1.0\nsandboxes:\n  one:\n    imports: [json]\n"
	forbids = "version: 1.0\nsandboxes:\n  one:\n    imports: []\n"
)

// A policy that is put on n3 is enforced in a guest that runs on n1.
func TestPolicyReachesRunningGuests(t *testing.T) {
	f := form(t, fabrictest.Options{})
	ctx := within(t, time.Minute)
	n1, n3 := f.Nodes[0], f.Nodes[2]
	put := func(text string) {
		t.Helper()
		if _, err := n3.Client.Policies.Put(ctx, connect.NewRequest(&pb.PutRequest{Name: "p", Text: []byte(text)})); err != nil {
			t.Fatal(err)
		}
	}
	put(permits)
	if _, err := n3.Client.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Name: "c", Policy: &pb.PolicyRef{Name: "p"},
		Placement: &pb.Placement{Node: "n1"}})); err != nil {
		t.Fatal(err)
	}
	imports := func() error {
		_, err := n1.Client.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: "c", Code: "import json"}))
		return err
	}
	if err := imports(); err != nil {
		t.Fatal(err)
	}
	put(forbids)
	if !fabrictest.Until(ctx, func() bool { return errors.Is(imports(), cell.PolicyDenied) }) {
		t.Errorf("the guest imports what it may not: %v", imports())
	}
}

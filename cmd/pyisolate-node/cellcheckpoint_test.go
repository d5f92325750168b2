package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/durable"
)

// Where the copies are is told, and whose are missing; nothing of it controls a terminal.
func TestCheckpointsRow(t *testing.T) {
	one := &pb.CheckpointInfo{Id: strings.Repeat("3f", 32), Cell: &pb.CellRef{Tenant: "team", Name: "one"}, Nodes: []string{"n1", "n2"}}
	bad := &pb.CheckpointInfo{Id: hostile, Cell: &pb.CellRef{Tenant: hostile, Name: hostile}, Policy: &pb.PolicyRef{Name: hostile}, Nodes: []string{hostile}, Recipient: hostile}
	var out, said strings.Builder
	r := &remote{out: &out, err: &said}
	r.checkpoints(&pb.ListCheckpointsResponse{Checkpoints: []*pb.CheckpointInfo{one, bad}, Silent: []string{"n3", hostile}})
	if text := out.String(); controls(text) || strings.Count(text, "\n") != 3 || !strings.Contains(text, "  n1,n2") {
		t.Errorf("%q", text)
	}
	if text := said.String(); controls(text) || !strings.HasPrefix(text, "pyisolate-node: no answer from n3, ") {
		t.Errorf("%q", text)
	}
}

// Of two that make an identity in one file at once, both have the key of what is there.
func TestIdentityMadeTwice(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "identity")
		keys := make([]string, 4)
		var making sync.WaitGroup
		for i := range keys {
			making.Go(func() {
				identity, err := identityIn(path)
				if err != nil {
					t.Error(err)
					return
				}
				keys[i] = identity.Recipient().Text()
			})
		}
		making.Wait()
		kept, err := identityIn(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if key != kept.Recipient().Text() {
				t.Fatalf("the key %s was given out, and its identity is lost", key)
			}
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatal(err, info.Mode())
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), durable.Pattern)); len(left) > 0 {
			t.Fatalf("left are %v", left)
		}
	}
}

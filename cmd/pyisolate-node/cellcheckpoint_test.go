package main

import (
	"strings"
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
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

package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

func moved(phase string) *pb.MigrateResponse {
	return &pb.MigrateResponse{Phase: phase, Copied: 1 << 20, Size: 2 << 20, Paused: durationpb.New(34 * time.Millisecond), Epoch: 7, Node: "n2"}
}

func TestMoveWords(t *testing.T) {
	for want, m := range map[string]moveJSON{
		"prepare":                               {Phase: "prepare"},
		"copy 512.0 KiB":                        {Phase: "copy", Copied: 512 << 10},
		"copy 1.0 MiB of 2.0 MiB, paused 34ms":  {Phase: "copy", Copied: 1 << 20, Size: 2 << 20, Paused: 34 * time.Millisecond},
		`\x1b[2J 0.0 KiB of 1.0 KiB, paused 1s`: {Phase: "\x1b[2J", Size: 1 << 10, Paused: time.Second},
	} {
		if got := m.words(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// A program gets each step as a line, and what a node says controls no terminal.
func TestMovesArePlain(t *testing.T) {
	var out, complaint strings.Builder
	r := &remote{out: &out, err: &complaint, asJSON: true}
	bad := &pb.CellMove{Cell: &pb.CellRef{Tenant: hostile, Name: hostile}, From: hostile, To: hostile, Error: hostile}
	m := moved("done")
	m.Node = hostile
	r.moving(moved("copy"), "c")
	r.moving(m, "c")
	if strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%q", out.String())
	}
	if !strings.Contains(out.String(), `"phase":"copy","copied":1048576,"size":2097152,"paused_ns":34000000,"epoch":7`) {
		t.Errorf("%q", out.String())
	}
	for _, r.asJSON = range []bool{true, false} {
		r.moving(m, hostile)
		r.drained(&pb.DrainResponse{Node: hostile, Moved: []*pb.CellMove{bad, {To: hostile}}, Closed: []*pb.CellRef{bad.GetCell()}})
		if err := r.rebalanced(&pb.RebalanceResponse{Moves: []*pb.CellMove{bad}}); !errors.Is(err, exitStatus(statusRefused)) {
			t.Errorf("a cell that was not moved: %v", err)
		}
		r.report(&pb.CellReport{Migration: &pb.Migration{To: hostile, Phase: hostile}})
	}
	if text := movedWords(moved("done"), "c"); text != "moved: c to n2, paused 34ms, epoch 7" {
		t.Errorf("%q", text)
	}
	if text := out.String() + complaint.String() + movedWords(m, hostile) + nodeOf(&pb.CellReport{Node: hostile, Migration: &pb.Migration{To: hostile}}); controls(text) {
		t.Errorf("%q", text)
	}
}

// What a drain did is said cell by cell, and counted.
func TestDrained(t *testing.T) {
	var out, complaint strings.Builder
	r := &remote{out: &out, err: &complaint}
	ref := &pb.CellRef{Tenant: "default", Name: "c"}
	r.drained(&pb.DrainResponse{Node: "n2", Closed: []*pb.CellRef{ref},
		Moved: []*pb.CellMove{{Cell: &pb.CellRef{Tenant: "default", Name: "d"}, From: "n2", To: "n1"}, {Cell: ref, From: "n2", Error: "it has a lock"}}})
	if out.String() != "drained: node n2, 1 cells moved, 1 closed\n" || complaint.String() != "moved: default/d to n1\nnot moved: default/c: it has a lock\n" {
		t.Errorf("%q, %q", out.String(), complaint.String())
	}
}

package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// said is a stream of a move that has been.
type said struct {
	all []*pb.MigrateResponse
	err error
	at  int
}

func (s *said) Receive() bool            { s.at++; return s.at <= len(s.all) }
func (s *said) Msg() *pb.MigrateResponse { return s.all[s.at-1] }
func (s *said) Err() error               { return s.err }

func moved(phase string) *pb.MigrateResponse {
	return &pb.MigrateResponse{Phase: phase, Copied: 1 << 20, Size: 2 << 20, Paused: durationpb.New(34 * time.Millisecond), Epoch: 7, Node: "n2"}
}

// The end of a stream is the end of a move only when the node has said so.
func TestMoving(t *testing.T) {
	lost := errors.New("the way is lost")
	for _, c := range []struct {
		name      string
		of        said
		out, fail string
	}{
		{"done", said{all: []*pb.MigrateResponse{moved("copy"), moved("done")}}, "moved: c to n2, paused 34ms, epoch 7\n", ""},
		{"aborted", said{all: []*pb.MigrateResponse{moved("copy"), moved("abort")}}, "", "goes on at n2"},
		{"failed", said{all: []*pb.MigrateResponse{moved("copy")}, err: lost}, "", lost.Error()},
		{"nothing said", said{}, "", "nothing of the end"},
		{"broken off", said{all: []*pb.MigrateResponse{moved("activate")}}, "", io.ErrUnexpectedEOF.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			r := &remote{out: &out, err: io.Discard}
			err := r.moving(&c.of, "c")
			if (err == nil) != (c.fail == "") || err != nil && !strings.Contains(err.Error(), c.fail) {
				t.Errorf("error %v, want %q", err, c.fail)
			}
			if out.String() != c.out {
				t.Errorf("%q, not %q", out.String(), c.out)
			}
		})
	}
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
	if err := r.moving(&said{all: []*pb.MigrateResponse{moved("copy"), m}}, "c"); err != nil || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v, %q", err, out.String())
	}
	if !strings.Contains(out.String(), `"phase":"copy","copied":1048576,"size":2097152,"paused_ns":34000000,"epoch":7`) {
		t.Errorf("%q", out.String())
	}
	for _, r.asJSON = range []bool{true, false} {
		_ = r.moving(&said{all: []*pb.MigrateResponse{m}}, hostile)
		r.drained(&pb.DrainResponse{Node: hostile, Moved: []*pb.CellMove{bad, {To: hostile}}, Closed: []*pb.CellRef{bad.GetCell()}})
		if err := r.rebalanced(&pb.RebalanceResponse{Moves: []*pb.CellMove{bad}}); !errors.Is(err, exitStatus(statusRefused)) {
			t.Errorf("a cell that was not moved: %v", err)
		}
		r.report(&pb.CellReport{Migration: &pb.Migration{To: hostile, Phase: hostile}})
	}
	if text := out.String() + complaint.String() + nodeOf(&pb.CellReport{Node: hostile, Migration: &pb.Migration{To: hostile}}); controls(text) {
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

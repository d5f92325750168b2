package group

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/roster"
)

// What a member may have done to a cell of another: nothing, not even by what names no seat, or its own.
func TestMayPropose(t *testing.T) {
	cell := directory.Cell{Tenant: "t", Name: "web"}
	owner, target, other := directory.Seat{Node: "n1", Session: 1}, directory.Seat{Node: "n2", Session: 2}, directory.Seat{Node: "n4", Session: 4}
	active := directory.Record{Cell: cell, Epoch: 7, Phase: directory.Active, Owner: owner}
	moving := active
	moving.Phase, moving.Target = directory.Prepare, target
	saved := active
	saved.Checkpoint, saved.Copies = "h", []string{"n1", "n2", "n3"}
	suspended := directory.Record{Cell: cell, Epoch: 7, Phase: directory.Suspended, Checkpoint: "h", Copies: []string{"n2"}}
	at := func(op directory.Op, s directory.Seat, epoch uint64) directory.Command {
		return directory.Command{Op: op, Seat: s, Cell: cell, Epoch: epoch}
	}
	none := directory.Seat{}
	for name, c := range map[string]struct {
		from string
		c    directory.Command
		r    directory.Record
		is   error
	}{
		"its own move":              {"n1", at(directory.Begin, target, 7), active, nil},
		"another's move to itself":  {"n4", at(directory.Begin, other, 7), active, directory.ErrInvalid},
		"the end of its own move":   {"n1", at(directory.Abort, none, 7), moving, nil},
		"the end by the target":     {"n2", at(directory.Abort, none, 7), moving, nil},
		"the end of another's move": {"n4", at(directory.Abort, none, 7), moving, directory.ErrInvalid},
		"the end, with its seat":    {"n4", at(directory.Abort, other, 7), moving, directory.ErrInvalid},
		"what is to come":           {"n1", at(directory.Abort, none, 8), moving, directory.ErrStale},
		"another's copy":            {"n4", at(directory.Copy, other, 7), active, directory.ErrInvalid},
		"the loss of a copy":        {"n4", at(directory.Drop, directory.Seat{Node: "n2"}, 7), active, directory.ErrInvalid},
		"its own copy of another's": {"n3", at(directory.Drop, directory.Seat{Node: "n3"}, 7), saved, nil},
		"a copy it has not":         {"n4", at(directory.Drop, directory.Seat{Node: "n4"}, 7), saved, directory.ErrInvalid},
		"another's copy of its own": {"n1", at(directory.Drop, directory.Seat{Node: "n3"}, 7), saved, directory.ErrInvalid},
		"a copy, in the past":       {"n3", at(directory.Drop, directory.Seat{Node: "n3"}, 6), saved, directory.ErrStale},
		"a copy too many":           {"n4", at(directory.Copy, other, 7), saved, directory.ErrInvalid},
		"a cell of nobody's":        {"n4", at(directory.Adopt, other, 7), suspended, directory.ErrInvalid},
		"one it has a copy of":      {"n2", at(directory.Adopt, target, 7), suspended, nil},
		"that by another":           {"n4", at(directory.Adopt, target, 7), suspended, directory.ErrInvalid},
		"that, too late":            {"n2", at(directory.Adopt, target, 6), suspended, directory.ErrStale},
		"to yield its own":          {"n1", at(directory.Yield, owner, 7), saved, nil},
		"to yield another's":        {"n2", at(directory.Yield, owner, 7), saved, directory.ErrInvalid},
		"to yield what comes":       {"n2", at(directory.Yield, target, 7), moving, directory.ErrInvalid},
		"a move on by the target":   {"n2", at(directory.Begin, other, 7), moving, directory.ErrInvalid},
		"to have what comes":        {"n2", at(directory.Activate, target, 7), moving, nil},
		"another's name":            {"n2", at(directory.Freeze, owner, 7), moving, directory.ErrInvalid},
		"a cell that is not":        {"n4", at(directory.Abort, none, 7), directory.Record{}, directory.ErrNoCell},
		"to forget a lost one":      {"n4", at(directory.Release, none, 7), suspended, nil},
		"to restart its own":        {"n1", at(directory.Restart, owner, 7), active, nil},
		"to restart another's":      {"n4", at(directory.Restart, owner, 7), active, directory.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if err := mayPropose(c.from, c.c, c.r); !errors.Is(err, c.is) {
				t.Error(err)
			}
		})
	}
}

// Of an error that is several the one is told that says the least of what was done.
func TestFirstKind(t *testing.T) {
	for range 100 {
		var a answer
		a.fail(fmt.Errorf("%w: %w", ErrNoLeader, roster.ErrInvalid))
		if back := a.err(); !errors.Is(back, ErrNoLeader) || errors.Is(back, roster.ErrInvalid) {
			t.Fatalf("%+v is %v", a, back)
		}
	}
	a := answer{Kind: "of a newer version", Text: "no"}
	if err := a.err(); err == nil || err.Error() != "no" {
		t.Errorf("%v", err)
	}
}

package directory

import (
	"bytes"
	"slices"
	"testing"
)

// A move that comes to nothing leaves the checkpoint that was saved before, and its copies.
func TestWhatCountedBeforeAMove(t *testing.T) {
	begin := Command{Op: Begin, Seat: seat2, Epoch: 1, Request: "m"}
	freeze := Command{Op: Freeze, Seat: seat1, Epoch: 1, Checkpoint: "f", Nodes: []string{"n1", "n2"}, Remember: true}
	forgets := freeze
	forgets.Remember = false
	activate := Command{Op: Activate, Seat: seat2, Epoch: 1}
	abort := Command{Op: Abort, Epoch: 1}
	yield := Command{Op: Yield, Seat: seat2, Epoch: 2}
	resume := Command{Op: Resume, Seat: seat1, Epoch: 3, Checkpoint: "f"}
	drop := Command{Op: Drop, Seat: Seat{Node: "n1"}, Epoch: 2, Revision: 5}
	survive := func(node string) Command {
		return Command{Op: Recover, Seat: Seat{Node: node}, Epoch: 100, Earlier: true}
	}
	asOnce := survive("n3")
	asOnce.Earlier = false
	for _, c := range []struct {
		name       string
		do         []Command // the last may fail
		checkpoint string
		copies     []string
		before     bool // is remembered still
		needed     bool // the saved one, at n3
	}{
		{"it is frozen", []Command{begin, freeze}, "f", []string{"n1", "n2"}, true, true},
		{"it is aborted", []Command{begin, freeze, abort}, "h", []string{"n1", "n3"}, false, true},
		{"it is aborted before", []Command{begin, abort}, "h", []string{"n1", "n3"}, false, true},
		{"the target dies", []Command{begin, freeze, {Op: End, Seat: seat2}}, "h", []string{"n1", "n3"}, false, true},
		{"the source dies", []Command{begin, freeze, {Op: End, Seat: seat1}}, "f", []string{"n1", "n2"}, true, true},
		{"the target has it", []Command{begin, freeze, activate}, "f", []string{"n1", "n2"}, true, true},
		{"the target runs it", []Command{begin, freeze, activate, drop}, "f", []string{"n2"}, false, false},
		{"the target has saved it", []Command{begin, freeze, activate, {Op: Save, Seat: seat2, Epoch: 2, Revision: 5, Checkpoint: "g", Nodes: []string{"n2"}}}, "g", []string{"n2"}, false, false},
		{"the target cannot run it", []Command{begin, freeze, activate, yield}, "f", []string{"n1", "n2"}, true, true},
		{"and the source goes on", []Command{begin, freeze, activate, yield, resume}, "h", []string{"n1", "n3"}, false, true},
		{"and the source goes on, which is heard twice", []Command{begin, freeze, activate, yield, resume, resume}, "h", []string{"n1", "n3"}, false, true},
		{"another says that", []Command{begin, freeze, activate, {Op: Resume, Seat: seat1, Epoch: 2, Checkpoint: "f"}}, "f", []string{"n1", "n2"}, true, true},
		{"it is said of another state", []Command{begin, freeze, activate, yield, {Op: Resume, Seat: seat1, Epoch: 3, Checkpoint: "e"}}, "f", []string{"n1", "n2"}, true, true},
		{"who has what was saved is all that is left", []Command{begin, freeze, survive("n3")}, "h", []string{"n3"}, false, true},
		{"and the target had it", []Command{begin, freeze, activate, survive("n3")}, "h", []string{"n3"}, false, true},
		{"who has both is all that is left", []Command{begin, freeze, activate, survive("n1")}, "f", []string{"n1"}, false, false},
		{"who has neither is", []Command{begin, freeze, survive("n4")}, "", nil, false, false},
		{"a version that looks at the newest alone", []Command{begin, freeze, asOnce}, "", nil, false, false},
		{"a version that forgets", []Command{begin, forgets, abort}, "f", []string{"n1", "n2"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := begun(t)
			all := append([]Command{
				{Op: Claim, Seat: seat1},
				{Op: Save, Seat: seat1, Epoch: 1, Revision: 1, Checkpoint: "h", Nodes: []string{"n1", "n3"}},
			}, c.do...)
			for i, one := range all {
				one.Cell = cellA
				if _, err := s.Apply(uint64(i+4), one); err != nil && i < len(all)-1 {
					t.Fatal(err)
				}
			}
			r, _ := s.Find(cellA)
			if r.Checkpoint != c.checkpoint || !slices.Equal(r.Copies, c.copies) || (r.Before != nil) != c.before || r.Needs("n3", "h") != c.needed {
				t.Errorf("%+v, before it %+v", r, r.Before)
			}
			survives(t, s)
		})
	}
}

// A cell that had no checkpoint has none after a move that came to nothing.
func TestNothingCountedBeforeAMove(t *testing.T) {
	s := begun(t)
	for i, one := range []Command{{Op: Claim, Seat: seat1}, {Op: Begin, Seat: seat2, Epoch: 1, Request: "m"},
		{Op: Freeze, Seat: seat1, Epoch: 1, Checkpoint: "f", Nodes: []string{"n1", "n2"}, Remember: true}, {Op: Abort, Epoch: 1}} {
		one.Cell = cellA
		if _, err := s.Apply(uint64(i+4), one); err != nil {
			t.Fatal(err)
		}
		survives(t, s)
	}
	if r, _ := s.Find(cellA); r.Checkpoint != "" || len(r.Copies) > 0 || r.Before != nil || r.Needs("n2", "f") {
		t.Errorf("%+v", r)
	}
}

// survives fails if a snapshot of a state is read as another.
func survives(t *testing.T, s *State) {
	t.Helper()
	var first, second bytes.Buffer
	_, _ = s.WriteTo(&first)
	back := &State{}
	if err := back.Read(bytes.NewReader(first.Bytes())); err != nil {
		t.Fatal(err)
	}
	if _, _ = back.WriteTo(&second); !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("%s is read as %s", &first, &second)
	}
}

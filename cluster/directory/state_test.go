package directory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// step is one command of a story and what it leads to.
type step struct {
	do    Command
	err   error
	phase Phase // of the cell, after it
	epoch uint64
	owner string
}

var (
	cellA = Cell{"shop", "a"}
	seat1 = Seat{"n1", 1}
	seat2 = Seat{"n2", 2}
	seat3 = Seat{"n3", 3}
)

// A story begins with three sessions: 1 of n1, 2 of n2, 3 of n3.
func begun(t testing.TB) *State {
	s := &State{}
	for i, n := range []string{"n1", "n2", "n3"} {
		out, err := s.Apply(uint64(i+1), Command{Op: Open, Seat: Seat{Node: n}})
		if err != nil || out.Session != uint64(i+1) {
			t.Fatalf("open: %v, %v", out, err)
		}
	}
	return s
}

func TestStories(t *testing.T) {
	claim := step{Command{Op: Claim, Cell: cellA, Seat: seat1, Request: "r"}, nil, Active, 1, "n1"}
	saved := step{Command{Op: Save, Cell: cellA, Seat: seat1, Epoch: 1, Revision: 1, Checkpoint: "h", Nodes: []string{"n3", "n1"}}, nil, Active, 1, "n1"}
	begin := step{Command{Op: Begin, Cell: cellA, Seat: seat2, Epoch: 1, Request: "m"}, nil, Prepare, 1, "n1"}
	freeze := step{Command{Op: Freeze, Cell: cellA, Seat: seat1, Epoch: 1, Checkpoint: "f", Nodes: []string{"n1", "n2"}}, nil, Frozen, 1, "n1"}
	activate := step{Command{Op: Activate, Cell: cellA, Seat: seat2, Epoch: 1}, nil, Active, 2, "n2"}
	for name, story := range map[string][]step{
		"a claim again":             {claim, claim, {Command{Op: Claim, Cell: cellA, Seat: seat2, Request: "other"}, ErrTaken, Active, 1, "n1"}},
		"a claim without a session": {{Command{Op: Claim, Cell: cellA, Seat: Seat{"n1", 9}}, ErrNoSession, "", 0, ""}},
		"a name used again has a higher epoch": {claim, {Command{Op: Release, Cell: cellA, Seat: seat1, Epoch: 1}, nil, "", 0, ""},
			{Command{Op: Claim, Cell: cellA, Seat: seat2, Request: "s"}, nil, Active, 2, "n2"}},
		"a migration": {claim, begin, freeze, activate,
			{Command{Op: Abort, Cell: cellA, Epoch: 1}, ErrStale, Active, 2, "n2"}},
		"a migration that is given up": {claim, begin, {Command{Op: Abort, Cell: cellA, Epoch: 1}, nil, Active, 2, "n1"},
			{Command{Op: Freeze, Cell: cellA, Seat: seat1, Epoch: 1, Checkpoint: "f", Nodes: []string{"n1", "n2"}}, ErrStale, Active, 2, "n1"}},
		"a migration that begins late": {claim, begin, {Command{Op: Restart, Cell: cellA, Seat: seat1, Epoch: 1}, nil, Active, 2, "n1"},
			{Command{Op: Begin, Cell: cellA, Seat: seat2, Epoch: 1, Request: "m"}, ErrStale, Active, 2, "n1"}},
		"a freeze without a copy at the target": {claim, begin,
			{Command{Op: Freeze, Cell: cellA, Seat: seat1, Epoch: 1, Checkpoint: "f", Nodes: []string{"n1", "n3"}}, ErrInvalid, Prepare, 1, "n1"}},
		"an activation by another":  {claim, begin, freeze, {Command{Op: Activate, Cell: cellA, Seat: seat3, Epoch: 1}, ErrStale, Frozen, 1, "n1"}},
		"the target dies":           {claim, begin, freeze, {Command{Op: End, Seat: seat2}, nil, Active, 2, "n1"}},
		"the source dies frozen":    {claim, begin, freeze, {Command{Op: End, Seat: seat1}, nil, Active, 2, "n2"}},
		"the source dies before":    {claim, begin, {Command{Op: End, Seat: seat1}, nil, Suspended, 2, ""}},
		"the owner dies":            {claim, saved, {Command{Op: End, Seat: seat1}, nil, Active, 2, "n3"}},
		"the owner comes back anew": {claim, saved, {Command{Op: Open, Seat: Seat{Node: "n1"}}, nil, Active, 2, "n3"}},
		"the only copy is its own": {claim,
			{Command{Op: Save, Cell: cellA, Seat: seat1, Epoch: 1, Revision: 1, Checkpoint: "h", Nodes: []string{"n1"}}, nil, Active, 1, "n1"},
			{Command{Op: End, Seat: seat1}, nil, Suspended, 2, ""},
			{Command{Op: Adopt, Cell: cellA, Seat: seat2, Epoch: 2}, ErrStale, Suspended, 2, ""},
			{Command{Op: Open, Seat: Seat{Node: "n1"}}, nil, Suspended, 2, ""},
			{Command{Op: Adopt, Cell: cellA, Seat: Seat{"n1", 8}, Epoch: 2}, nil, Active, 3, "n1"}},
		"a cell that its target cannot run": {claim, begin, freeze, activate,
			{Command{Op: Yield, Cell: cellA, Seat: seat1, Epoch: 2}, ErrStale, Active, 2, "n2"},
			{Command{Op: Yield, Cell: cellA, Seat: seat2, Epoch: 2}, nil, Active, 3, "n1"},
			{Command{Op: Yield, Cell: cellA, Seat: seat2, Epoch: 2}, ErrStale, Active, 3, "n1"}},
		"a cell that nobody can run": {claim, begin, freeze, activate,
			{Command{Op: Yield, Cell: cellA, Seat: seat2, Epoch: 2}, nil, Active, 3, "n1"},
			{Command{Op: Yield, Cell: cellA, Seat: seat1, Epoch: 3}, nil, Suspended, 4, ""},
			{Command{Op: Adopt, Cell: cellA, Seat: seat2, Epoch: 4}, nil, Active, 5, "n2"}},
		"what was yielded is no heir's, until there is another checkpoint": {claim, begin, freeze, activate,
			{Command{Op: Yield, Cell: cellA, Seat: seat2, Epoch: 2}, nil, Active, 3, "n1"},
			{Command{Op: Save, Cell: cellA, Seat: seat1, Epoch: 3, Revision: 5, Checkpoint: "g", Nodes: []string{"n1", "n2"}}, nil, Active, 3, "n1"},
			{Command{Op: End, Seat: seat1}, nil, Active, 4, "n2"}},
		"a yielded one whose owner dies": {claim, begin, freeze, activate,
			{Command{Op: Yield, Cell: cellA, Seat: seat2, Epoch: 2}, nil, Active, 3, "n1"},
			{Command{Op: End, Seat: seat1}, nil, Suspended, 4, ""}},
		"another copy is another try": {claim, begin, freeze, activate,
			{Command{Op: Yield, Cell: cellA, Seat: seat2, Epoch: 2}, nil, Active, 3, "n1"},
			{Command{Op: Drop, Cell: cellA, Seat: Seat{Node: "n2"}, Epoch: 3, Revision: 5}, nil, Active, 3, "n1"},
			{Command{Op: Copy, Cell: cellA, Seat: Seat{Node: "n2"}, Epoch: 3, Revision: 6, Checkpoint: "f"}, nil, Active, 3, "n1"},
			{Command{Op: End, Seat: seat1}, nil, Active, 4, "n2"}},
		"a yield in a move":            {claim, begin, {Command{Op: Yield, Cell: cellA, Seat: seat1, Epoch: 1}, ErrStale, Prepare, 1, "n1"}},
		"a yield without a checkpoint": {claim, {Command{Op: Yield, Cell: cellA, Seat: seat1, Epoch: 1}, nil, Suspended, 2, ""}},
		"a save sent again": {claim, saved, {Command{Op: Save, Cell: cellA, Seat: seat1, Epoch: 1, Revision: 2, Checkpoint: "i", Nodes: []string{"n1"}}, nil, Active, 1, "n1"},
			{saved.do, ErrStale, Active, 1, "n1"}},
		"the owner's copy": {claim, saved, {Command{Op: Drop, Cell: cellA, Seat: Seat{Node: "n1"}, Epoch: 1, Revision: 2}, ErrLastCopy, Active, 1, "n1"}},
		"another's copy":   {claim, saved, {Command{Op: Drop, Cell: cellA, Seat: Seat{Node: "n3"}, Epoch: 1, Revision: 2}, nil, Active, 1, "n1"}},
		"release by another": {claim, {Command{Op: Release, Cell: cellA, Seat: seat2, Epoch: 1}, ErrStale, Active, 1, "n1"},
			{Command{Op: Release, Cell: cellA, Epoch: 1}, ErrStale, Active, 1, "n1"}},
		"release of a suspended one": {claim, {Command{Op: End, Seat: seat1}, nil, Suspended, 2, ""}, {Command{Op: Release, Cell: cellA, Epoch: 2}, nil, "", 0, ""}},
		"a restart":                  {claim, {Command{Op: Restart, Cell: cellA, Seat: seat1, Epoch: 1}, nil, Active, 2, "n1"}},
		"a move to where it is":      {claim, {Command{Op: Begin, Cell: cellA, Seat: seat1, Epoch: 1, Request: "m"}, ErrInvalid, Active, 1, "n1"}},
		"an end again":               {{Command{Op: End, Seat: seat1}, nil, "", 0, ""}, {Command{Op: End, Seat: seat1}, ErrNoSession, "", 0, ""}},
		"no cell":                    {{Command{Op: Abort, Cell: cellA, Epoch: 1}, ErrNoCell, "", 0, ""}},
		"an unknown change":          {{Command{Op: "explode"}, ErrInvalid, "", 0, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := begun(t)
			for i, one := range story {
				_, err := s.Apply(uint64(i+4), one.do)
				r, _ := s.Find(cellA)
				if !errors.Is(err, one.err) || r.Phase != one.phase || r.Epoch != one.epoch || r.Owner.Node != one.owner {
					t.Fatalf("%d: %s: %v, %+v", i, one.do.Op, err, r)
				}
			}
		})
	}
}

// Whatever is applied in whatever order, records are sound, epochs rise, and a state read
// from its snapshot is the same.
func TestInvariants(t *testing.T) {
	nodes := []string{"n1", "n2", "n3"}
	rapid.Check(t, func(t *rapid.T) {
		s, high := &State{}, map[Cell]uint64{}
		for index := uint64(1); index < 60; index++ {
			c := randomCommand(t, s, nodes)
			_, err := s.Apply(index, c)
			for cell, r := range s.cells {
				alone := &State{sessions: s.sessions, epoch: s.epoch}
				if bad := alone.sound(r); bad != nil {
					t.Fatalf("after %+v (%v): %v", c, err, bad)
				}
				if r.Epoch < high[cell] {
					t.Fatalf("after %+v: epoch %d of %s was %d", c, r.Epoch, cell, high[cell])
				}
				high[cell] = r.Epoch
			}
		}
		var first, second bytes.Buffer
		_, _ = s.WriteTo(&first)
		back := &State{}
		if err := back.Read(bytes.NewReader(first.Bytes())); err != nil {
			t.Fatal(err)
		}
		if _, _ = back.WriteTo(&second); !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("%s is read as %s", &first, &second)
		}
	})
}

// randomCommand is mostly of the cells, sessions, epochs and revisions that there are.
func randomCommand(t *rapid.T, s *State, nodes []string) Command {
	ops := []Op{Open, End, Claim, Restart, Release, Begin, Freeze, Activate, Abort, Resume, Save, Copy, Drop, Adopt, Yield, Confine}
	node := rapid.SampledFrom(nodes).Draw(t, "node")
	c := Command{Op: rapid.SampledFrom(ops).Draw(t, "op"), Cell: Cell{"t", rapid.SampledFrom([]string{"a", "b"}).Draw(t, "cell")},
		Seat: Seat{node, s.Session(node)}, Request: "r", Checkpoint: rapid.SampledFrom([]string{"h", "i"}).Draw(t, "hash"),
		Remember: rapid.Bool().Draw(t, "remember"),
		Nodes:    rapid.SliceOfNDistinct(rapid.SampledFrom(nodes), 0, 3, rapid.ID[string]).Draw(t, "nodes")}
	if r, ok := s.Find(c.Cell); ok {
		c.Epoch, c.Revision = r.Epoch, r.Revision
	}
	if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
		c.Epoch, c.Seat.Session = uint64(rapid.IntRange(0, 9).Draw(t, "epoch")), uint64(rapid.IntRange(0, 60).Draw(t, "session"))
	}
	return c
}

func TestBadSnapshots(t *testing.T) {
	head := `{"pyisolate_directory":1,"epoch":3,"sessions":{"n1":1},"cells":1}` + "\n"
	record := `{"cell":{"tenant":"t","name":"a"},"epoch":1,"revision":1,"phase":"active","owner":{"node":"n1","session":1}}` + "\n"
	for name, text := range map[string]string{
		"nothing":                          "",
		"not JSON":                         "hello",
		"a newer format":                   strings.Replace(head, ":1,", ":2,", 1) + record,
		"fewer records":                    head,
		"more records":                     head + record + record,
		"the same twice":                   strings.Replace(head, `"cells":1`, `"cells":2`, 1) + record + record,
		"an unknown field":                 head + strings.Replace(record, `"epoch"`, `"color":"red","epoch"`, 1),
		"an epoch too high":                head + strings.Replace(record, `"epoch":1`, `"epoch":4`, 1),
		"no epoch":                         head + strings.Replace(record, `"epoch":1`, `"epoch":0`, 1),
		"a dead owner":                     head + strings.Replace(record, `"session":1`, `"session":2`, 1),
		"no owner":                         head + strings.Replace(record, `,"owner":{"node":"n1","session":1}`, "", 1),
		"another phase":                    head + strings.Replace(record, "active", "asleep", 1),
		"frozen, no target":                head + strings.Replace(record, "active", "frozen", 1),
		"copies of nothing":                head + strings.Replace(record, `"phase"`, `"copies":["n1"],"phase"`, 1),
		"yielded by a node without a copy": head + strings.Replace(record, `"phase"`, `"checkpoint":"h","copies":["n1"],"yielded":["n2"],"phase"`, 1),
		"before: copies of nothing":        head + strings.Replace(record, `"phase"`, `"before":{"copies":["n1"]},"phase"`, 1),
		"before: a copy that is nowhere":   head + strings.Replace(record, `"phase"`, `"before":{"checkpoint":"h"},"phase"`, 1),
		"too many cells":                   strings.Replace(head, `"cells":1`, `"cells":99999999`, 1) + record,
	} {
		s := begun(t)
		if err := s.Read(strings.NewReader(text)); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.Sessions()) != 3 {
			t.Errorf("%s: what there was is gone", name)
		}
	}
	s := &State{}
	if err := s.Read(strings.NewReader(head + record)); err != nil || len(s.Records("t")) != 1 || len(s.Records("u")) != 0 {
		t.Errorf("a good one: %v, %v", err, s.Records(""))
	}
}

func TestLimits(t *testing.T) {
	s := begun(t)
	s.of["shop"] = maxCellsOfOne
	if _, err := s.Apply(9, Command{Op: Claim, Cell: cellA, Seat: seat1}); !errors.Is(err, ErrLimited) {
		t.Errorf("one more than a tenant may have: %v", err)
	}
	if _, err := s.Apply(9, Command{Op: Claim, Cell: Cell{"other", "a"}, Seat: seat1}); err != nil {
		t.Errorf("another tenant: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range []Command{{Op: Open, Seat: Seat{Node: "n"}}, {Op: Freeze, Cell: cellA, Seat: seat1, Epoch: 1, Checkpoint: "h", Nodes: []string{"a", "b"}}} {
		b, err := c.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"op":"open"} x`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if errors.Is(err, ErrInvalid) && len(b) > maxCommand/6 {
			return // written with escapes it is too long
		}
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", b, err)
		}
		if back, err := Decode(again); err != nil || fmt.Sprint(back) != fmt.Sprint(c) {
			t.Fatalf("%q is %+v, then %+v, %v", b, c, back, err)
		}
		s := begun(t)
		_, _ = s.Apply(9, c)
	})
}

func FuzzSnapshot(f *testing.F) {
	s := begun(f)
	_, _ = s.Apply(9, Command{Op: Claim, Cell: cellA, Seat: seat1})
	var b bytes.Buffer
	_, _ = s.WriteTo(&b)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &State{}
		if err := s.Read(bytes.NewReader(b)); err != nil {
			return
		}
		for i, n := range slices.Sorted(func(yield func(string) bool) {
			for n := range s.sessions {
				if !yield(n) {
					return
				}
			}
		}) {
			_, _ = s.Apply(uint64(1<<40+i), Command{Op: End, Seat: Seat{n, s.sessions[n]}})
		}
	})
}

func BenchmarkApply(b *testing.B) {
	s := begun(b)
	for i := range 10_000 {
		if _, err := s.Apply(uint64(i+4), Command{Op: Claim, Cell: Cell{"t", fmt.Sprint(i)}, Seat: seat1}); err != nil {
			b.Fatal(err)
		}
	}
	entry, _ := Command{Op: Restart, Cell: Cell{"t", "77"}, Seat: seat1, Epoch: 78}.Encode()
	b.ResetTimer()
	for b.Loop() {
		c, err := Decode(entry)
		if err != nil {
			b.Fatal(err)
		}
		r, _ := s.Find(c.Cell)
		c.Epoch = r.Epoch
		if _, err := s.Apply(1<<32, c); err != nil {
			b.Fatal(err)
		}
	}
}

// How long leases last is the session's, and kept with it.
func TestLease(t *testing.T) {
	s := &State{}
	for _, c := range []struct {
		lease, want time.Duration
		err         error
	}{{0, 0, nil}, {time.Second, time.Second, nil}, {-1, time.Second, ErrInvalid}, {MaxLease + 1, time.Second, ErrInvalid}} {
		out, err := s.Apply(s.epoch+uint64(c.lease)+10, Command{Op: Open, Seat: Seat{Node: "n1"}, Lease: c.lease})
		if !errors.Is(err, c.err) || s.Lease("n1") != c.want {
			t.Errorf("%s: %s, %v", c.lease, s.Lease("n1"), err)
		}
		if err == nil && out.Session != s.Session("n1") {
			t.Errorf("%s: session %d", c.lease, out.Session)
		}
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(b.String(), `"leases":{"n1"`, `"leases":{"n2"`, 1)
	var read State
	if err := read.Read(strings.NewReader(damaged)); !errors.Is(err, ErrSnapshot) {
		t.Errorf("a lease without a session: %v", err)
	}
	if err := read.Read(&b); err != nil || read.Lease("n1") != time.Second || s.Copy().Lease("n1") != time.Second {
		t.Errorf("%s, %v", read.Lease("n1"), err)
	}
	if _, err := s.Apply(1<<40, Command{Op: End, Seat: Seat{"n1", s.Session("n1")}}); err != nil || s.Lease("n1") != 0 {
		t.Errorf("after the end: %s, %v", s.Lease("n1"), err)
	}
	if _, err := read.Apply(1<<41, Command{Op: Open, Seat: Seat{Node: "n2"}, Lease: time.Minute}); err != nil || read.Lease("n2") != time.Minute {
		t.Errorf("%v", err)
	}
}

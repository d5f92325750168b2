package actors

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pyisolate/pyisolate/cell"
)

func restarted(cells *started) Plan {
	p := cells.plan()
	p.Restart = Restart{When: OnFailure, Max: 2, First: time.Millisecond}
	return p
}

// TestRestart: a cell that ends by itself is started again, with the next epoch.
func TestRestart(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	spawn(t, s, worker, restarted(&cells))
	told.await(t, Started)
	cells.last().Kill("crashed")
	if e := told.await(t, Restarting); !strings.Contains(e.Reason, "crashed") {
		t.Errorf("%+v", e)
	}
	if e := told.await(t, Started); e.Epoch != 2 {
		t.Errorf("%+v", e)
	}
	if r := s.Ask(soon(t), exec(worker, "")); r.Err != nil || r.Epoch != 2 {
		t.Errorf("%+v", r)
	}
	env := exec(worker, "")
	env.Epoch = 1
	if r := s.Ask(soon(t), env); cell.KindOf(r.Err) != cell.CellGone || r.Epoch != 2 {
		t.Errorf("for the one before: %+v", r)
	}
	env.Epoch, env.Life = 2, "another"
	if r := s.Ask(soon(t), env); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("for another cell of the name: %+v", r)
	}
	if n := s.DeadLetters(); n["stale epoch"] != 1 || n["stale life"] != 1 {
		t.Errorf("dead letters: %v", n)
	}
}

// TestQuarantine: one that ends too often runs nothing any more, keeps its name, and says why.
func TestQuarantine(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	spawn(t, s, worker, restarted(&cells))
	for range 2 {
		told.await(t, Started)
		cells.last().Kill("crashed")
	}
	told.await(t, Started)
	cells.refuse(errors.New("no room")) // that it cannot be started counts, too
	cells.last().Kill("crashed")
	told.await(t, Quarantined)
	r := s.Ask(soon(t), exec(worker, ""))
	if cell.KindOf(r.Err) != cell.CellGone || !strings.Contains(r.Err.Error(), "quarantined") || !strings.Contains(r.Err.Error(), "3 times") {
		t.Errorf("%+v", r)
	}
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Inspect{}}); r.Err != nil {
		t.Error(r.Err)
	}
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Close{}}); r.Err != nil {
		t.Error(r.Err)
	}
	if got := s.List(""); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// TestQuarantineLasts: what is quarantined by request is not started again, whatever happens to
// it, and can be ended.
func TestQuarantineLasts(t *testing.T) {
	quarantine := func(t *testing.T, s *System) {
		t.Helper()
		if r := s.Ask(soon(t), Envelope{To: worker, Body: Quarantine{"odd"}}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for _, c := range []struct {
		name string
		do   func(t *testing.T, s *System, told events, cells *started)
		runs int // incarnations in all
	}{
		{"while it runs", func(t *testing.T, s *System, _ events, cells *started) {
			quarantine(t, s)
			cells.last().Kill("its host crashed")
		}, 1},
		{"before it is started again", func(t *testing.T, s *System, told events, cells *started) {
			cells.last().Kill("its host crashed")
			told.await(t, Restarting)
			quarantine(t, s)
		}, 1},
		{"while it is started again", func(t *testing.T, s *System, told events, cells *started) {
			starting, release := make(chan struct{}), make(chan struct{})
			cells.mu.Lock()
			cells.setUp = func(*quick) { close(starting); <-release }
			cells.mu.Unlock()
			cells.last().Kill("its host crashed")
			told.await(t, Restarting)
			s.root.Send(pidOf(s), &again{1}) // at once
			<-starting
			quarantine(t, s)
			close(release)
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, told := newSystem(t, Options{Linger: time.Millisecond})
			var cells started
			p := restarted(&cells)
			p.Restart.First, p.Restart.Most = time.Hour, time.Hour
			spawn(t, s, worker, p)
			told.await(t, Started)
			c.do(t, s, told, &cells)
			if e := told.await(t, Quarantined); e.Reason != "odd" {
				t.Errorf("%+v", e)
			}
			if r := s.Ask(soon(t), exec(worker, "")); cell.KindOf(r.Err) != cell.CellGone || !strings.Contains(r.Err.Error(), "odd") {
				t.Errorf("%+v", r)
			}
			quarantine(t, s) // once more changes nothing
			if n := len(cells.cells); n != c.runs {
				t.Errorf("%d incarnations, want %d", n, c.runs)
			}
			if r := s.Ask(soon(t), Envelope{To: worker, Body: Kill{"enough"}}); r.Err != nil {
				t.Fatal(r.Err)
			}
			if e := told.await(t, Ended); e.Reason != "enough" {
				t.Errorf("%+v", e)
			}
			told.await(t, Left)
		})
	}
}

func pidOf(s *System) *actor.PID {
	at, _ := s.directory.Lookup(worker)
	return at.PID
}

// TestQuarantineExpires: a name is not kept for ever for the sake of saying why.
func TestQuarantineExpires(t *testing.T) {
	s, told := newSystem(t, Options{Hold: time.Millisecond, Linger: time.Millisecond})
	var cells started
	p := restarted(&cells)
	p.Restart.Max = 1
	spawn(t, s, worker, p)
	for range 2 {
		told.await(t, Started)
		cells.last().Kill("crashed")
	}
	told.await(t, Quarantined)
	if e := told.await(t, Ended); !strings.Contains(e.Reason, "2 times") {
		t.Errorf("%+v", e)
	}
	told.await(t, Left)
	spawn(t, s, worker, p)
}

// TestWantedEnds: what was killed or closed is not started again.
func TestWantedEnds(t *testing.T) {
	s, told := newSystem(t, Options{Linger: time.Millisecond})
	var cells started
	spawn(t, s, worker, restarted(&cells))
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Kill{"enough"}}); r.Err != nil {
		t.Fatal(r.Err)
	}
	if e := told.await(t, Ended); !strings.Contains(e.Reason, "enough") {
		t.Errorf("%+v", e)
	}
	told.await(t, Left)
	if n := len(cells.cells); n != 1 {
		t.Errorf("%d were started", n)
	}
}

// TestCloseWhileRestarting: the pause is not waited for.
func TestCloseWhileRestarting(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	p := restarted(&cells)
	p.Restart.First = time.Hour
	p.Restart.Most = time.Hour
	spawn(t, s, worker, p)
	cells.last().Kill("crashed")
	told.await(t, Restarting)
	if r := s.Ask(soon(t), exec(worker, "")); cell.KindOf(r.Err) != cell.Busy {
		t.Errorf("%+v", r)
	}
	if r := s.Ask(soon(t), Envelope{To: worker, Body: Close{}}); r.Err != nil {
		t.Error(r.Err)
	}
	told.await(t, Left)
}

// TestPauses double, up to the most.
func TestPauses(t *testing.T) {
	r := Restart{}.withDefaults()
	for failures, want := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 50: 10 * time.Second} {
		if got := r.pause(failures); got != want {
			t.Errorf("after %d: %s, want %s", failures, got, want)
		}
	}
}

// TestPanic: a fault of ours ends one cell, and nobody waits for ever.
func TestPanic(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells, others started
	spawn(t, s, worker, cells.plan())
	spawn(t, s, Address{"acme", "other"}, others.plan())
	at, _ := s.directory.Lookup(worker)
	s.root.Send(at.PID, (*request)(nil))
	told.await(t, Left)
	<-cells.last().Done()
	if r := s.Ask(soon(t), exec(worker, "")); cell.KindOf(r.Err) != cell.CellGone {
		t.Errorf("%+v", r)
	}
	if r := s.Ask(soon(t), exec(Address{"acme", "other"}, "")); r.Err != nil {
		t.Error(r.Err)
	}
}

// TestCloseSystem: all cells end, and whoever waits is answered.
func TestCloseSystem(t *testing.T) {
	s := New(Options{})
	var cells started
	spawn(t, s, worker, cells.plan())
	reply := make(chan Reply, 1)
	go func() { reply <- s.Ask(soon(t), Envelope{To: worker, Body: Recv{}}) }()
	if err := s.Close(soon(t)); err != nil {
		t.Fatal(err)
	}
	<-cells.last().Done()
	if r := <-reply; r.Err == nil {
		t.Errorf("%+v", r)
	}
	if err := s.Spawn(soon(t), worker, cells.plan()); cell.KindOf(err) != cell.CellGone {
		t.Errorf("%v", err)
	}
}

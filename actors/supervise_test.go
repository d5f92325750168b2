package actors

import (
	"errors"
	"strings"
	"testing"
	"time"

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
	if n := s.DeadLetters()["stale epoch"]; n != 1 {
		t.Errorf("%d dead letters", n)
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

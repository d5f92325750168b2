package actors

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

// briefly is a context that ends at once, or nearly.
func briefly(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Millisecond)
	tb.Cleanup(cancel)
	return ctx
}

// occupied is a cell that runs something until release is called.
func occupied(t *testing.T, s *System) (release func()) {
	t.Helper()
	runs, done := make(chan struct{}), make(chan struct{})
	cells := started{setUp: func(q *quick) {
		q.exec = func(context.Context, string) error { close(runs); <-done; return nil }
	}}
	spawn(t, s, worker, cells.plan())
	if _, _, err := s.submit(soon(t), exec(worker, "long")); err != nil {
		t.Fatal(err)
	}
	<-runs
	release = sync.OnceFunc(func() { close(done) })
	t.Cleanup(release)
	return release
}

// What waits in a cell's line longer than its time is let go, and its sender is told that it was not begun:
// whoever has no credit takes no memory.
func TestLateIsLetGo(t *testing.T) {
	s, _ := newSystem(t, Options{})
	release := occupied(t, s)
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			if r := s.Ask(briefly(t), exec(worker, strings.Repeat("x", 1<<20))); cell.KindOf(r.Err) != cell.Timeout {
				t.Errorf("%v", r.Err)
			}
		})
	}
	asking.Wait()
	e, _ := s.directory.Lookup(worker)
	if got := s.Stats(); got.Waiting != 1 || got.Bytes != 4 || e.gate.count != 1 {
		t.Errorf("what is late still counts: %+v", got)
	}
	for a := range s.all {
		if n := len(a.lanes[runs].queue); n > 0 {
			t.Errorf("%d still wait", n)
		}
	}
	release()
	if r := s.Ask(soon(t), post(worker, "on")); r.Err != nil {
		t.Errorf("then: %v", r.Err)
	}
}

// So is what repeats what is not answered yet: of that nobody knows whether it was done.
func TestLateRepetition(t *testing.T) {
	s, _ := newSystem(t, Options{})
	began, release := make(chan struct{}), make(chan struct{})
	cells := started{setUp: func(q *quick) {
		q.exec = func(context.Context, string) error { close(began); <-release; return nil }
	}}
	spawn(t, s, worker, cells.plan())
	env := exec(worker, "once")
	env.ID = NewID()
	first := make(chan Reply, 1)
	go func() { first <- s.Ask(soon(t), env) }()
	<-began
	if r := s.Ask(briefly(t), env); cell.KindOf(r.Err) != cell.UnknownOutcome {
		t.Errorf("the second: %v", r.Err)
	}
	for a := range s.all {
		if n := len(a.seen.of[env.ID].waiting); n > 0 {
			t.Errorf("%d still wait for it", n)
		}
	}
	close(release)
	if r := <-first; r.Err != nil {
		t.Errorf("the first: %v", r.Err)
	}
}

// Nobody waits longer than he will for a cell that does not tell of itself, and it is asked no more often than there
// is credit for.
func TestInspectWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing is late but what waits
		s, _ := newSystem(t, Options{})
		silent := make(chan struct{})
		cells := started{setUp: func(q *quick) { q.inspect = silent }}
		p := cells.plan()
		p.Credit = Credit{Looks: 2}
		spawn(t, s, worker, p)
		look := func(ctx context.Context) error { return s.Ask(ctx, Envelope{To: worker, Body: Inspect{}}).Err }
		for i, want := range []cell.Kind{cell.Timeout, cell.Timeout, cell.Busy} {
			if err := look(briefly(t)); cell.KindOf(err) != want {
				t.Errorf("%d: %v", i, err)
			}
		}
		close(silent)
		await.That(t, "there is credit again", func() bool { return look(soon(t)) == nil })
	})
}

// What is published is not waited for longer than the context lasts, however many cells have no time for it.
func TestPublishWaitsForNobody(t *testing.T) {
	s, _ := newSystem(t, Options{})
	began, release := make(chan struct{}, 3), make(chan struct{})
	cells := started{setUp: func(q *quick) {
		q.send = func(cell.Value) error { began <- struct{}{}; <-release; return nil }
	}}
	for i := range 3 {
		a := Address{"acme", fmt.Sprint("busy", i)}
		spawn(t, s, a, cells.plan())
		if err := s.Subscribe(a, "news"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.submit(soon(t), post(a, "before")); err != nil {
			t.Fatal(err)
		}
		<-began
	}
	p, err := s.Publish(briefly(t), "acme", "news", "root", cell.BytesValue([]byte("late")))
	close(release)
	if err != nil || len(p.Refused) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, r := range p.Refused {
		if cell.KindOf(r.Err) != cell.Timeout {
			t.Errorf("%s: %v", r.Cell, r.Err)
		}
	}
}

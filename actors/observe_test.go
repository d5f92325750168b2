package actors

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

type observedKey struct{}

// Whoever observes gives each operation its context, and hears of each once how it ended.
func TestObserve(t *testing.T) {
	var mu sync.Mutex
	var heard []string
	s, _ := newSystem(t, Options{Observe: func(ctx context.Context, o Operation) (context.Context, func(Reply)) {
		name := Name(o.Envelope.Body)
		if o.Waited <= 0 || o.Epoch != 1 || o.Envelope.To != worker {
			t.Errorf("operation %+v", o)
		}
		return context.WithValue(ctx, observedKey{}, name), func(r Reply) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, name+" "+cell.KindOf(r.Err).String())
		}
	}})
	cells := started{setUp: func(q *quick) {
		q.exec = func(ctx context.Context, _ string) error {
			if ctx.Value(observedKey{}) != "exec" {
				return cell.Errorf(cell.Invalid, "it has the context %v", ctx)
			}
			return cell.Errorf(cell.GuestError, "as it went")
		}
	}}
	spawn(t, s, worker, cells.plan())
	s.Ask(soon(t), exec(worker, ""))
	s.Ask(soon(t), post(worker, "x"))
	s.Ask(soon(t), exec(Address{"acme", "nobody"}, "")) // is no operation
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(heard, []string{"exec GuestError", "send Unknown"}) {
		t.Errorf("heard %v", heard)
	}
}

// What waits is counted until it is answered.
func TestStats(t *testing.T) {
	s, told := newSystem(t, Options{})
	runs, release := make(chan struct{}), make(chan struct{})
	cells := started{setUp: func(q *quick) {
		q.exec = func(context.Context, string) error { close(runs); <-release; return nil }
	}}
	spawn(t, s, worker, cells.plan())
	r, at, err := s.submit(soon(t), exec(worker, "four"))
	if err != nil {
		t.Fatal(err)
	}
	<-runs
	if got := s.Stats(); got != (Stats{Names: 1, Waiting: 1, Bytes: 4}) {
		t.Errorf("while it runs: %+v", got)
	}
	close(release)
	r.wait(s, at)
	s.Ask(soon(t), Envelope{To: worker, Body: Kill{"test"}})
	told.await(t, Ended)
	if got := s.Stats(); got != (Stats{Names: 1, Ended: 1}) {
		t.Errorf("after its end: %+v", got)
	}
}

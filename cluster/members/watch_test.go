package members

import (
	"context"
	"log/slog"
	"testing"
)

// counting is a context that knows how much waits for its end.
type counting struct {
	context.Context
	done    chan struct{}
	waiting int
}

// Done has package context take it for one that is not its own.
func (c *counting) Done() <-chan struct{} { return c.done }

// AfterFunc is what context.AfterFunc calls.
func (c *counting) AfterFunc(func()) (stop func() bool) {
	c.waiting++
	stopped := false
	return func() bool {
		if stopped {
			return false
		}
		stopped = true
		c.waiting--
		return true
	}
}

// Of a watcher that is left because it is too far behind nothing is kept: whoever has it begin again may have it do so for
// as long as the node runs.
func TestNothingIsKeptOfWatchersThatAreLeft(t *testing.T) {
	v := newView(slog.New(slog.DiscardHandler))
	ctx := &counting{Context: t.Context(), done: make(chan struct{})}
	for range 10 {
		w := v.watch(ctx)
		for range behind + 1 {
			v.mu.Lock()
			for w := range v.watchers {
				v.send(w, Event{Change: Updated})
			}
			v.mu.Unlock()
		}
		for range w { // it is closed
		}
	}
	if ctx.waiting != 0 {
		t.Errorf("the end of the context is waited for by %d watchers that are no more", ctx.waiting)
	}
}

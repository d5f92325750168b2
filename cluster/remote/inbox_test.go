package remote

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
)

// counting is a context that counts who waits for its end.
type counting struct {
	context.Context
	waiting atomic.Int64
}

// AfterFunc is what package context calls, instead of starting a goroutine.
func (c *counting) AfterFunc(f func()) (stop func() bool) {
	c.waiting.Add(1)
	end := context.AfterFunc(c.Context, f)
	return func() bool {
		c.waiting.Add(-1)
		return end()
	}
}

// Value hides the context within, of which package context would make others directly.
func (*counting) Value(any) any { return nil }

// TestAskedLeavesNothing: what was answered has nothing of it waiting for the end of the node.
func TestAskedLeavesNothing(t *testing.T) {
	life, end := context.WithCancel(t.Context())
	defer end()
	for name, deadline := range map[string]time.Duration{"with a deadline": time.Hour, "without": 0} {
		parent := &counting{Context: life}
		var a asked
		from := asker{"b", "1"}
		for call := range uint64(1000) {
			m := &envelope.CellEnvelope{Call: call, Deadline: int64(deadline)}
			ctx, err := a.begin(parent, from, m)
			if err != nil {
				t.Fatal(err)
			}
			if _, has := ctx.Deadline(); has != (deadline > 0) || parent.waiting.Load() == 0 {
				t.Fatalf("%s: it ends at a time: %v; %d wait", name, has, parent.waiting.Load())
			}
			a.end(from, m)
			if ctx.Err() == nil {
				t.Fatalf("%s: it goes on", name)
			}
		}
		if left := parent.waiting.Load(); left != 0 || a.count() != 0 {
			t.Errorf("%s: %d contexts and %d messages are left of 1000", name, left, a.count())
		}
	}
}

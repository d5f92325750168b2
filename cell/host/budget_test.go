package host

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

// hungry is a worker that uses the processor all the time.
type hungry struct {
	dummy
	since time.Time
}

func (h hungry) CPU() (time.Duration, error) { return time.Since(h.since), nil }

// A cell whose budget is raised is not watched for what it was over before: its threads may go on.
func TestRaisedBudgetEndsTheWatch(t *testing.T) {
	g, _ := looked(t)
	limits := cell.Limits{CPU: time.Millisecond, Children: 1}.WithDefaults()
	g.srv.killGrace, g.slot.worker, g.current = 20*time.Millisecond, hungry{since: time.Now()}, nil
	g.limits, g.budget = limits, newBudget(limits, g.slot.worker)
	over := func() {
		t.Helper()
		await.That(t, "the budget is used up", func() bool { return g.overBudget() != nil })
	}
	over()
	raised := limits
	raised.CPU = time.Hour
	g.limit(raised)
	select {
	case <-g.over:
		t.Fatalf("it has ended: %s", g.reason)
	case <-time.After(10 * g.srv.killGrace):
	}
	g.limit(limits)
	over()
	select {
	case <-g.over:
	case <-time.After(10 * time.Second):
		t.Error("threads of a cell that is over its budget go on")
		g.end(cell.Killed, "over")
	}
}

// Nor is one let off that was over its output before.
func TestThreadsBehindAnotherLimit(t *testing.T) {
	g, _ := looked(t)
	limits := cell.Limits{CPU: time.Millisecond, Output: 1, Children: 1}.WithDefaults()
	g.srv.killGrace, g.slot.worker, g.current = 20*time.Millisecond, hungry{since: time.Now()}, nil
	g.limits, g.budget = limits, newBudget(limits, g.slot.worker)
	if g.produce(2) {
		t.Fatal("the output has no limit")
	}
	await.That(t, "the budget is used up", func() bool { return g.budget.used() >= limits.CPU })
	g.watchBudget()
	select {
	case <-g.over:
	case <-time.After(10 * time.Second):
		t.Error("threads of a cell that is over its budget go on")
		g.end(cell.Killed, "over")
	}
}

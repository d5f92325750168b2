package systemtest

import (
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
)

// leavesThread starts work in a thread, which goes on when the operation is over.
func leavesThread(t *testing.T, c cell.Cell, work string) {
	t.Helper()
	if err := c.Exec(soon(t), source("import threading\ndef work():\n  while True:\n%s\nthreading.Thread(target=work).start()", work)); err != nil {
		t.Fatalf("%v\n%s", err, traceback(err))
	}
}

func inspects(t *testing.T, c cell.Cell) cell.Report {
	t.Helper()
	r, err := c.Inspect(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Quarantine stops threads that the guest's operations left behind.
func TestQuarantineStopsThreads(t *testing.T) {
	everyBackendBy(t, launch.Config{KillGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		rec := &recorder{answer: func(q cell.Request) (cell.Value, error) { return q.Payload, nil }}
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading"}, Sink: rec, Limits: cell.Limits{Children: 1}})
		leavesThread(t, c, "    try: request('echo', 'get', sum(range(1000)))\n    except BaseException: pass")
		await.That(t, "the thread asks", func() bool { return inspects(t, c).Requests > 10 })
		if err := c.Quarantine(soon(t), "looks odd"); err != nil {
			t.Fatal(err)
		}
		await.That(t, "the thread stops", func() bool {
			before := inspects(t, c)
			pause.For(t.Context(), 100*time.Millisecond)
			r := inspects(t, c)
			return r.CPU-before.CPU < 10*time.Millisecond && r.Requests == before.Requests
		})
		if r := inspects(t, c); r.State != cell.Quarantined {
			t.Errorf("it is %s: %s", r.State, r.Reason)
		}
	})
}

// endsOfThreads waits for the cell's end, and for its reason.
func endsOfThreads(t *testing.T, c cell.Cell, want string) {
	t.Helper()
	select {
	case <-c.Done():
	case <-soon(t).Done():
		t.Fatal("the cell lives on")
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "threads did not stop") {
		t.Errorf("it ended with %v, want %s", err, want)
	}
}

// No operation runs that could be interrupted when a thread has used the budget up: the cell ends.
func TestThreadsBeyondTheBudgetEndTheirCell(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading"}, Limits: cell.Limits{Children: 1, CPU: 300 * time.Millisecond}})
		leavesThread(t, c, "    pass")
		endsOfThreads(t, c, "CPU budget")
	})
}

// Nothing but the cell's end stops a thread that computes inside C.
func TestQuarantineEndsCellsWithThreadsInC(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		begin := make(chan struct{})
		rec := &recorder{answer: func(q cell.Request) (cell.Value, error) { <-begin; return q.Payload, nil }}
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading"}, Sink: rec, Limits: cell.Limits{Children: 1}})
		leavesThread(t, c, "    request('echo', 'get', 1)\n    sum(range(10**12))")
		before := inspects(t, c).CPU
		close(begin)
		await.That(t, "the thread computes", func() bool { return inspects(t, c).CPU > before+50*time.Millisecond })
		if err := c.Quarantine(soon(t), "looks odd"); err != nil {
			t.Fatal(err)
		}
		endsOfThreads(t, c, "looks odd")
	})
}

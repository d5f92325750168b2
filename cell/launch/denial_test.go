package launch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// witness is a sink that takes its time to be told of a refusal.
type witness struct {
	sink
	c    cell.Cell
	told atomic.Bool
}

func (w *witness) Denied(d cell.Denial) {
	for range 20 { // round trips: an answer that had left would have arrived
		_, _ = w.c.Inspect(context.Background())
	}
	w.hear("%s %s of %s", d.Capability, d.Action, d.Cell)
	w.told.Store(true)
}

func TestDenialIsKnownBeforeTheGuestKnows(t *testing.T) {
	for name, refuse := range map[string]error{
		"with its evidence": &cell.Error{Kind: cell.PolicyDenied, Denial: &cell.Denial{Capability: "fs", Action: "read", Cell: "another"}},
		"without":           cell.Errorf(cell.PolicyDenied, "no"),
	} {
		t.Run(name, func(t *testing.T) {
			l := launcher(t, launch.Config{})
			w := &witness{sink: sink{answer: func(context.Context, cell.Request) (cell.Value, error) { return cell.Value{}, refuse }}}
			w.c = spawn(t, l, cell.Spec{Sink: w})
			err := run(w.c, "request fs read")
			if told := w.told.Load(); !told || !errors.Is(err, cell.PolicyDenied) {
				t.Fatalf("the guest has %v, the node was told: %t", err, told)
			}
			if want := "fs read of " + w.c.ID(); len(w.heard) != 1 || w.heard[0] != want {
				t.Errorf("the sink heard %q, want %q", w.heard, want)
			}
		})
	}
}

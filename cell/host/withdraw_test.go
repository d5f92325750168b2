package host_test

import (
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// What is withdrawn while the worker starts is answered at once, and not when there is
// one: here there is none before the end of the test.
func TestWithdrawnBeforeTheWorker(t *testing.T) {
	interrupt := func(kind cell.Kind) wire.Body {
		return &wire.Control_Interrupt{Interrupt: &wire.Interrupt{Kind: uint32(kind)}}
	}
	n := serve(t, 0)
	n.exec.Hold()
	defer n.exec.Release()

	n.claimsWithoutWaiting(1)
	n.runs(1, 2, 0, "post 1")
	n.runs(1, 3, 0, "post 2")
	n.send(1, 2, interrupt(cell.Timeout), "")
	if err := n.outcome(1, 2); !errors.Is(err, cell.Timeout) {
		t.Errorf("an operation: %v", err)
	}
	n.send(1, 4, &wire.Control_Send{Send: &wire.Send{}}, "1")
	n.send(1, 4, interrupt(cell.Cancelled), "")
	if err := n.outcome(1, 4); !errors.Is(err, cell.Cancelled) {
		t.Errorf("a value for the inbox: %v", err)
	}
	n.send(1, 1, interrupt(cell.Cancelled), "")
	if err := n.outcome(1, 1); !errors.Is(err, cell.Cancelled) {
		t.Errorf("the claim: %v", err)
	}
	if err := n.outcome(1, 3); !errors.Is(err, cell.Cancelled) {
		t.Errorf("what followed it: %v", err)
	}

	n.claimsWithoutWaiting(2)
	n.runs(2, 2, 0, "post 1")
	n.send(2, 0, &wire.Control_Close{Close: &wire.Close{}}, "")
	if err := n.outcome(2, 2); !errors.Is(err, cell.CellGone) {
		t.Errorf("an operation before a close: %v", err)
	}
	if e := n.ended(2); e.State != string(cell.Closed) {
		t.Errorf("closed: %s, %s", e.State, e.Reason)
	}

	n.claimsWithoutWaiting(3)
	n.send(3, 0, &wire.Control_Kill{Kill: &wire.Kill{Reason: "enough"}}, "")
	if e := n.ended(3); e.State != string(cell.Killed) || e.Reason != "enough" {
		t.Errorf("killed: %s, %s", e.State, e.Reason)
	}
}

// The worker of a withdrawn cell does not become a cell's, and its number can be claimed
// again.
func TestWithdrawnCellDoesNotComeBack(t *testing.T) {
	n := serve(t, 0)
	n.exec.Hold()
	n.claimsWithoutWaiting(1)
	n.send(1, 0, &wire.Control_Close{Close: &wire.Close{}}, "")
	n.ended(1)
	n.exec.Release()
	n.claim(1, cell.Limits{})
	n.runs(1, 2, 0, "post 1")
	if err := n.outcome(1, 2); err != nil {
		t.Error(err)
	}
	for _, m := range n.seen {
		if m.GetEnded() != nil {
			t.Errorf("the second cell ended: %v", m)
		}
	}
}

// A worker that comes at the same moment gets the cell or does not; the cell ends anyhow.
func TestClosedWhileTheWorkerComes(t *testing.T) {
	n := serve(t, 0)
	for id := uint64(1); id < 200; id++ {
		n.claimsWithoutWaiting(id)
		n.runs(id, 2, 0, "post 1")
		n.send(id, 0, &wire.Control_Close{Close: &wire.Close{}}, "")
		_ = n.outcome(id, 2)
		n.ended(id)
	}
}

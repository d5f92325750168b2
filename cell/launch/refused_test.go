package launch

import (
	"context"
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// A claim that a retiring host refuses after Spawn has returned says that trying again is
// of use; any other refusal says that the cell is gone.
func TestRefusedClaimThatNobodyWaitsFor(t *testing.T) {
	for _, kind := range []cell.Kind{cell.Busy, cell.CellGone} {
		l, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close(context.Background()) })
		c, err := l.reserve(cell.Spec{Backend: cell.Process, Tenant: "t"})
		if err != nil {
			t.Fatal(err)
		}
		c.host = &hostproc{cells: map[uint64]*handle{c.wireID: c}}
		claim, err := c.register(&pending{ctx: t.Context(), then: c.claimAnswered})
		if err != nil {
			t.Fatal(err)
		}
		waiting := &pending{answer: make(chan *wire.Msg, 1), ctx: t.Context()}
		op, err := c.register(waiting)
		if err != nil {
			t.Fatal(err)
		}
		c.receive(wire.NewFailed(c.wireID, claim, cell.Errorf(kind, "host takes no claim")))
		if _, err := c.await(t.Context(), op, waiting, unbounded); !errors.Is(err, kind) {
			t.Errorf("%s: the operation behind it: %v", kind, err)
		}
		if err := c.Exec(t.Context(), cell.Source{Code: []byte("pass")}); !errors.Is(err, kind) {
			t.Errorf("%s: a later operation: %v", kind, err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("%s: close: %v", kind, err)
		}
	}
}

package launch

import (
	"context"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// crowded is a host with too much waiting for a cell that starts, and the cell starts at once then.
type crowded struct {
	void
	take func(*wire.Msg)
}

func (c crowded) SendWithin(_ context.Context, m *wire.Msg) error {
	if m.GetReload() != nil {
		c.take(wire.NewFailed(m.Cell, m.Op, cell.Errorf(cell.Busy, "64 messages wait for this cell to start; try again later")))
		c.take(wire.New(m.Cell, 1, &wire.Control_Claimed{Claimed: &wire.Claimed{Hit: true}}, nil))
	}
	return nil
}

func (crowded) TryRecv() (*wire.Msg, error) { return nil, nil }

// A reload that is refused since its cell starts is asked again, though the cell has started by then.
func TestReloadRefusedAsTheCellStarts(t *testing.T) {
	h, c, _ := impostor(t)
	c.launcher.config.AnswerGrace = 10 * time.Millisecond
	far := crowded{take: h.take}
	h.proc.conn, h.turns = far, newTurns(far)
	if err := c.claimReady(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { c.finish(cell.Crashed, "it is over") }).Stop()
	_, err := c.Reload(t.Context(), cell.Revision{Limits: &cell.Limits{QueueItems: 7}})
	if cell.KindOf(err) != cell.Busy || h.verdict != "" || c.barredBy() != nil {
		t.Errorf("%v; the host: %q; the guest: %v", err, h.verdict, c.barredBy())
	}
	if n := c.limitsNow().QueueItems; n == 7 {
		t.Error("the node goes by limits that the cell does not have")
	}
}

package launch

import (
	"context"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// A reload that fails leaves the limits by which the node judges the host.
func TestFailedReloadWidensNothing(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	narrow := cell.Limits{Wall: time.Second, QueueItems: 1, MessageBytes: 1 << 10}.WithDefaults()
	c, err := l.reserve(cell.Spec{Backend: cell.Process, Tenant: "t", Limits: narrow})
	if err != nil {
		t.Fatal(err)
	}
	c.host = &hostproc{cells: map[uint64]*handle{c.wireID: c}}
	wall, most, message := c.wallNow(), c.outbox.most, c.served.most
	wide := narrow
	wide.Wall, wide.MessageBytes = time.Hour, 16<<20
	if wire.Overdraft(wide) <= wire.Overdraft(narrow) {
		t.Fatal("nothing is widened")
	}
	c.finish(cell.Crashed, "it is over") // so nobody answers
	if _, err := c.Reload(t.Context(), cell.Revision{Limits: &wide}); err == nil {
		t.Fatal("it was reloaded")
	}
	if c.wallNow() != wall || c.outbox.most != most || c.served.most != message {
		t.Errorf("%s, %d bytes of posts and messages of %d; before %s, %d and %d", c.wallNow(), c.outbox.most, c.served.most, wall, most, message)
	}
}

// obliging is a host that does what it is told, and says so.
type obliging struct {
	void
	take func(*wire.Msg)
	sent chan *wire.Msg
}

func (obliging) TryRecv() (*wire.Msg, error) { return nil, nil }

func (o obliging) Send(m *wire.Msg) error {
	if m.GetReload() == nil {
		o.sent <- m
		return nil
	}
	go o.take(wire.New(m.Cell, m.Op, &wire.Control_Reloaded{Reloaded: &wire.Reloaded{}}, nil))
	return nil
}

func (o obliging) SendWithin(_ context.Context, m *wire.Msg) error { return o.Send(m) }

// What a host may send, and what it is answered, is measured by the limit that it has: one that was raised takes
// effect at once. After a lowering it may still have sent by the limit of before.
func TestReloadedMessageLimit(t *testing.T) {
	h, c, heard := impostor(t)
	far := obliging{take: h.take, sent: make(chan *wire.Msg, 1)}
	h.proc.conn, h.turns = far, newTurns(far)
	h.confined = &confinement{report: &cell.Confinement{}}
	heard.value = cell.BytesValue(make([]byte, 2<<20))
	heard.release()
	reload := func(message int) {
		t.Helper()
		if _, err := c.Reload(t.Context(), cell.Revision{Limits: &cell.Limits{MessageBytes: message}}); err != nil {
			t.Fatal(err)
		}
	}
	answer := func(op uint64, payload []byte) *wire.Answer {
		t.Helper()
		h.take(request(c.wireID, op, payload))
		if h.verdict != "" {
			t.Fatalf("an honest host is cut off: %s", h.verdict)
		}
		return (<-far.sent).GetAnswer()
	}
	large := make([]byte, 33<<20)
	reload(64 << 20)
	if a := answer(1, large); a.GetError() != nil {
		t.Errorf("within the raised limit: %v", a.GetError())
	}
	reload(1 << 20)
	if a := answer(2, large); cell.Kind(a.GetError().GetKind()) != cell.Invalid {
		t.Errorf("an answer beyond the lowered limit: %v", a)
	}
}

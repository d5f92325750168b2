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
	wall, most := c.wallNow(), c.outbox.most
	wide := narrow
	wide.Wall, wide.MessageBytes = time.Hour, 16<<20
	if wire.Overdraft(wide) <= wire.Overdraft(narrow) {
		t.Fatal("nothing is widened")
	}
	c.finish(cell.Crashed, "it is over") // so nobody answers
	if _, err := c.Reload(t.Context(), cell.Revision{Limits: &wide}); err == nil {
		t.Fatal("it was reloaded")
	}
	if c.wallNow() != wall || c.outbox.most != most {
		t.Errorf("%s and %d bytes; before %s and %d", c.wallNow(), c.outbox.most, wall, most)
	}
}

package launch

import (
	"context"
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// lasting is a sink whose requests last as long as they may.
type lasting struct {
	*notes
	begun chan struct{}
}

func (l lasting) Request(ctx context.Context, _ cell.Request) (cell.Value, error) {
	l.begun <- struct{}{}
	<-ctx.Done()
	return cell.Null(), context.Cause(ctx)
}

// A guest that is quarantined is served nothing, though its host lets it ask: what it asked
// before is ended.
func TestQuarantinedGuestIsServedNothing(t *testing.T) {
	h, c, heard := impostor(t)
	far := &stalled{sent: make(chan *wire.Msg, 3)}
	h.proc.conn = far
	sink := lasting{heard, make(chan struct{}, 2)}
	c.spec.Sink = sink
	h.take(request(c.wireID, 1, nil))
	<-sink.begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Quarantine(ended, "enough"); !errors.Is(err, cell.Cancelled) { // the host answers nothing
		t.Errorf("quarantine: %v", err)
	}
	for n := 0; n < 2; {
		m := <-far.sent // a hang here is the failure: the request goes on
		if m.GetQuarantine() != nil {
			continue
		}
		n++
		if m.Op != uint64(n) || m.GetAnswer().GetError() == nil {
			t.Errorf("answer %d is %v", n, m)
		}
		if n == 1 {
			h.take(request(c.wireID, 2, nil))
		} else if kind := cell.Kind(m.GetAnswer().GetError().GetKind()); kind != cell.CellGone {
			t.Errorf("a request afterwards is %s", kind)
		}
	}
	if len(sink.begun) > 0 {
		t.Error("a request was served afterwards")
	}
}

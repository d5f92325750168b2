package launch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/internal/await"
)

// refusing is a host that refuses what it is to reload, and says nothing else.
type refusing struct {
	void
	take func(*wire.Msg)
	with cell.Kind
	sent chan *wire.Msg // all but claims
}

func (refusing) TryRecv() (*wire.Msg, error) { return nil, nil }

func (r refusing) Send(m *wire.Msg) error {
	if m.GetReload() != nil {
		go r.take(wire.NewFailed(m.Cell, m.Op, cell.Errorf(r.with, "no")))
	} else if m.GetClaim() == nil {
		r.sent <- m
	}
	return nil
}

func (r refusing) SendWithin(_ context.Context, m *wire.Msg) error { return r.Send(m) }

// refuser is an impostor that refuses reloads.
func refuser(t *testing.T, with cell.Kind, grace time.Duration) (h *hostproc, c *handle, far refusing) {
	t.Helper()
	h, c, _ = impostor(t)
	far = refusing{take: h.take, with: with, sent: make(chan *wire.Msg, 1)}
	h.proc.conn, h.turns = far, newTurns(far)
	c.launcher.config.AnswerGrace = grace
	return h, c, far
}

// A host has no say in what its cells go by: one that refuses rules is killed, whatever reason it gives, and what its
// guests ask for until then is not served by the rules of before.
func TestHostVetoesRules(t *testing.T) {
	for _, kind := range []cell.Kind{cell.Invalid, cell.PolicyDenied, cell.Busy, cell.CellGone} {
		t.Run(kind.String(), func(t *testing.T) {
			h, c, far := refuser(t, kind, 50*time.Millisecond)
			answered, killed := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := c.Reload(t.Context(), cell.Revision{})
				answered <- err
			}()
			go func() { killed <- h.proc.cmd.Wait() }()
			select {
			case err := <-answered:
				t.Fatalf("the cell goes on after %v", err)
			case exit := <-killed:
				h.take(request(c.wireID, 1, nil))
				if a := (<-far.sent).GetAnswer(); cell.Kind(a.GetError().GetKind()) != cell.CellGone {
					t.Errorf("a request meanwhile is answered by %v", a)
				}
				c.end(cell.Crashed, h.epitaph(exit), nil)
			}
			if err := <-answered; !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "refused rules") {
				t.Errorf("reload: %v", err)
			}
		})
	}
}

// A host that refuses rules of a cell that is ending has done nothing wrong.
func TestRulesOfAnEndingCell(t *testing.T) {
	h, c, _ := refuser(t, cell.Invalid, time.Minute)
	answered := make(chan error, 1)
	go func() {
		_, err := c.Reload(t.Context(), cell.Revision{})
		answered <- err
	}()
	await.That(t, "the refusal", func() bool { return c.barredBy() != nil })
	h.take(wire.New(c.wireID, 0, &wire.Control_Ended{Ended: &wire.Ended{State: string(cell.Closed)}}, nil))
	if err := <-answered; !errors.Is(err, cell.CellGone) || h.verdict != "" {
		t.Errorf("reload: %v; the host: %q", err, h.verdict)
	}
}

// A cell that starts, and has as much to do then as its host keeps for it, is asked again. Its guest says nothing
// before it has begun, and the host that has it speak without that is killed.
func TestRulesOfAStartingCell(t *testing.T) {
	h, c, _ := refuser(t, cell.Busy, time.Minute)
	if err := c.claimReady(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	before := c.limitsNow()
	if _, err := c.Reload(t.Context(), cell.Revision{Limits: &cell.Limits{Files: 7}}); !errors.Is(err, cell.Busy) {
		t.Errorf("reload: %v", err)
	}
	if c.limitsNow() != before || c.barredBy() != nil || h.verdict != "" {
		t.Errorf("limits %+v, requests %v, the host %q", c.limitsNow(), c.barredBy(), h.verdict)
	}
	h.take(request(c.wireID, 1, nil))
	if !strings.Contains(h.verdict, "has not answered its claim") || c.served.requests != 0 {
		t.Errorf("the host: %q; %d requests are served", h.verdict, c.served.requests)
	}
}

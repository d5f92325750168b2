package host

import (
	"slices"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// attentive is a node that remembers what it is sent, and a worker what it is told.
type attentive struct {
	mute
	dummy
	sent []*wire.Msg
	told []uint64
}

func (a *attentive) Send(m *wire.Msg) error                { a.sent = append(a.sent, m); return nil }
func (a *attentive) Queue(m *wire.Msg) error               { return a.Send(m) }
func (a *attentive) Interrupt(op uint64, reason cell.Kind) { a.told = append(a.told, op) }

// A thread that quarantine has not reached yet, or cannot reach, is heard by nobody.
func TestQuarantineDropsWhatThreadsSay(t *testing.T) {
	g, peer := looked(t)
	a := &attentive{mute: mute{t: t}}
	g.srv.conn, g.srv.killGrace, g.slot.worker, g.current = a, time.Hour, a, nil
	g.quarantine("odd")
	if !slices.Equal(a.told, []uint64{ring.All}) {
		t.Errorf("the worker is told to interrupt %d", a.told)
	}
	question := append([]byte{2, 0, 0, 0, 4, 0, 0, 0}, "fsread null"...)
	for _, f := range []ring.Frame{{Kind: ring.OutPost, Payload: []byte("1")}, {Kind: ring.OutRequest, ID: 9, Payload: question}} {
		if err := g.handle(f); err != nil {
			t.Error(err)
		}
	}
	if len(a.sent) > 0 {
		t.Errorf("the node hears %v", a.sent)
	}
	if !peer.Pending() {
		t.Fatal("the question is not answered")
	}
	if f, err := peer.Recv(); err != nil || f.ID != 9 || f.Flags != ring.Error || cell.Kind(f.Payload[0]) != cell.CellGone {
		t.Errorf("the question is answered with %v, %v", f, err)
	}
}

// belated is told of an operation's interrupt only after a quarantine, or when none comes.
type belated struct {
	attentive
	telling, quarantined chan struct{}
}

func (b *belated) Interrupt(op uint64, reason cell.Kind) {
	if op != ring.All {
		close(b.telling)
		select {
		case <-b.quarantined:
		case <-time.After(50 * time.Millisecond):
		}
	}
	b.attentive.Interrupt(op, reason)
}

// There is one word for what is to end: an interrupt that comes late does not take the place of a later one.
func TestQuarantineIsTheLastWord(t *testing.T) {
	g, _ := looked(t)
	w := &belated{attentive: attentive{mute: mute{t: t}}, telling: make(chan struct{}), quarantined: make(chan struct{})}
	g.srv.conn, g.srv.killGrace, g.slot.worker = w, time.Hour, w
	late := make(chan struct{})
	go func() {
		g.interrupt(g.current, cell.Errorf(cell.Timeout, "the deadline passed"), time.Hour)
		close(late)
	}()
	<-w.telling
	g.quarantine("odd")
	close(w.quarantined)
	<-late
	if want := []uint64{7, ring.All}; !slices.Equal(w.told, want) {
		t.Errorf("the worker is told to interrupt %d, want %d", w.told, want)
	}
	g.current.grace.Stop()
}

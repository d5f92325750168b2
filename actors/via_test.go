package actors

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// elsewhere is a directory of which one name is on another node, and the way there.
type elsewhere struct {
	Local
	at    Address
	asked []Envelope
}

func (e *elsewhere) Lookup(a Address) (Entry, bool) {
	if a == e.at {
		return Entry{Via: e}, true
	}
	return e.Local.Lookup(a)
}

func (e *elsewhere) Ask(_ context.Context, env Envelope) Reply {
	e.asked = append(e.asked, env)
	return Reply{Epoch: 7}
}

// TestVia: what is asked of a cell of another node goes there as it is, and is answered as there;
// what has come from a node goes no further, and is told that the cell is elsewhere.
func TestVia(t *testing.T) {
	d := &elsewhere{at: Address{"acme", "far"}}
	s, _ := newSystem(t, Options{Directory: d})
	if r := s.Ask(soon(t), post(d.at, "x")); r.Epoch != 7 || len(d.asked) != 1 {
		t.Errorf("%+v, %v", r, d.asked)
	}
	if r := s.Begin(soon(t), post(d.at, "x"))(); cell.KindOf(r.Err) != cell.CellGone || !errors.Is(r.Err, ErrMoved) || len(d.asked) != 1 {
		t.Errorf("passed on: %+v", r)
	}
	for _, b := range []Body{Snapshot{}, Move{}} { // they are for the node that has the cell, and it has moved
		if r := s.Ask(soon(t), Envelope{To: d.at, Body: b}); !errors.Is(r.Err, ErrMoved) || len(d.asked) != 1 {
			t.Errorf("%T: %+v", b, r)
		}
	}
	if err := s.Subscribe(d.at, "x"); cell.KindOf(err) != cell.Invalid {
		t.Error(err)
	}
	if gone := s.Forget(d.at); gone != nil {
		t.Error("a cell of another node is forgotten")
	}
}

// beyond records what it is told.
type beyond struct {
	heard     []string
	published []Topic
}

func (b *beyond) Heard(t Topic, heard bool) {
	b.heard = append(b.heard, map[bool]string{true: "+", false: "-"}[heard]+t.Tenant+"/"+t.Name)
}

func (b *beyond) Publish(_ context.Context, t Topic, _ ID, _ string, _ cell.Value) Published {
	b.published = append(b.published, t)
	return Published{Delivered: 2, Refused: []Refusal{{Cell: Address{"acme", "zoe"}, Err: cell.Errorf(cell.Busy, "full")}}}
}

// TestBeyond: other nodes are told when something is heard here first, and when it is not any more;
// what is published goes there too.
func TestBeyond(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	p := cells.plan()
	p.Topics = []string{"before"}
	spawn(t, s, worker, p)
	var b beyond
	s.SetBeyond(&b)
	second := Address{"acme", "second"}
	spawn(t, s, second, cells.plan())
	for _, a := range []Address{worker, second, worker} {
		if err := s.Subscribe(a, "news"); err != nil {
			t.Fatal(err)
		}
	}
	s.Unsubscribe(worker, "never heard")
	s.Unsubscribe(worker, "news")

	got, err := s.Publish(soon(t), "acme", "news", "me", cell.BytesValue(nil))
	if err != nil || got.Delivered != 3 || len(got.Refused) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if here := s.PublishHere(soon(t), Topic{"acme", "news"}, NewID(), "me", cell.BytesValue(nil))(); here.Delivered != 1 || len(b.published) != 1 {
		t.Errorf("%+v, %v", here, b.published)
	}

	s.Ask(soon(t), Envelope{To: second, Body: Close{}})
	told.await(t, Left)
	if want := []string{"+acme/before", "+acme/news", "-acme/news"}; !slices.Equal(b.heard, want) {
		t.Errorf("%v", b.heard)
	}
	s.SetBeyond(nil)
	if got, err := s.Publish(soon(t), "acme", "news", "me", cell.BytesValue(nil)); err != nil || got.Delivered != 0 {
		t.Errorf("parted: %+v, %v", got, err)
	}
}

package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// scripted answers one after the other, and the last from then on.
type scripted struct {
	Local
	mu      sync.Mutex
	replies []Reply
	asked   []ID
}

func (s *scripted) Lookup(Address) (Entry, bool) { return Entry{Via: s}, true }

func (s *scripted) Ask(_ context.Context, env Envelope) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, env.ID)
	r := s.replies[0]
	if len(s.replies) > 1 {
		s.replies = s.replies[1:]
	}
	return r
}

// TestSeek: who is told that a cell has moved asks on where it is, and learns what became of what it
// asked; nobody is told that the cell is gone because it moved.
func TestSeek(t *testing.T) {
	moved := Reply{Err: Elsewhere(worker, "b")}
	unsure := Reply{Err: moved.Err, Unsure: true}
	is := func(k cell.Kind) Reply { return Reply{Err: cell.Errorf(k, "test")} }
	for name, c := range map[string]struct {
		replies []Reply
		kind    cell.Kind
	}{
		"found":                      {[]Reply{moved, moved, {Epoch: 2}}, cell.KindUnknown},
		"found, and was refused":     {[]Reply{moved, is(cell.Busy)}, cell.Busy},
		"unsure, found":              {[]Reply{unsure, {Epoch: 2}}, cell.KindUnknown},
		"unsure, and the repetition": {[]Reply{unsure, moved, is(cell.Busy)}, cell.UnknownOutcome},
		"unsure, and the cell ended": {[]Reply{unsure, is(cell.CellGone)}, cell.UnknownOutcome},
		"unsure, and it failed":      {[]Reply{unsure, is(cell.GuestError)}, cell.GuestError},
		"never found":                {[]Reply{moved}, cell.Busy},
		"unsure, and never found":    {[]Reply{unsure}, cell.UnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			d := &scripted{replies: c.replies}
			s, _ := newSystem(t, Options{Directory: d})
			env := exec(worker, "")
			env.ID = NewID()
			if r := s.Ask(soon(t), env); cell.KindOf(r.Err) != c.kind || c.kind == cell.KindUnknown && r.Epoch != 2 || errors.Is(r.Err, ErrMoved) {
				t.Errorf("%+v", r)
			}
			for _, id := range d.asked {
				if id != env.ID {
					t.Error("it was asked with another id")
				}
			}
		})
	}
}

// TestHeldTwice: what is held here, and asked there again because nobody answered, is done once.
func TestHeldTwice(t *testing.T) {
	p := newPair(t, Options{})
	var here, there started
	p.spawn(t, here.plan())
	env := exec(worker, "once")
	env.ID = NewID()
	var held1, again func() Reply
	hand := p.to(t, p.b, there.plan()).Take
	r := p.move(t, p.a, Move{Take: func(ctx context.Context, c cell.Cell, m Moving) (Moved, error) {
		held1 = p.a.Begin(soon(t), env)
		again = p.a.Begin(soon(t), env)
		to, err := hand(ctx, c, m)
		if r := p.b.Ask(soon(t), env); r.Err != nil {
			t.Error(r.Err)
		}
		return to, err
	}})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	for _, wait := range []func() Reply{held1, again} {
		if r := wait(); r.Err != nil || r.Epoch != 2 {
			t.Errorf("%+v", r)
		}
	}
	if got := there.last().did(); !slices.Equal(got, []string{"once"}) {
		t.Errorf("ran %v", got)
	}
}

// hears is a Beyond that publishes on other nodes.
type hears struct{ on []*System }

func (hears) Heard(Topic, bool) {}

func (h hears) Publish(ctx context.Context, t Topic, id ID, principal string, v cell.Value) (p Published) {
	for _, s := range h.on {
		there := s.PublishHere(ctx, t, id, principal, v)()
		p.Delivered += there.Delivered
		p.Refused = append(p.Refused, there.Refused...)
	}
	return p
}

// TestPublishedOnce: a cell that hears a topic on both nodes, because it moves, takes what is published
// once.
func TestPublishedOnce(t *testing.T) {
	p := newPair(t, Options{})
	var here, there started
	plan := here.plan()
	plan.Topics = []string{"news"}
	p.spawn(t, plan)
	p.a.SetBeyond(hears{[]*System{p.b}})
	hand := p.to(t, p.b, there.plan()).Take
	var all sync.WaitGroup
	p.move(t, p.a, Move{Take: func(ctx context.Context, c cell.Cell, m Moving) (Moved, error) {
		to, err := hand(ctx, c, m)
		p.a.directory.(*joined).lags.Store(true)
		for i := range 5 {
			all.Go(func() {
				if got, err := p.a.Publish(soon(t), "acme", "news", "me", cell.BytesValue([]byte(fmt.Sprint(i)))); err != nil || got.Delivered == 0 || len(got.Refused) != 0 {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		for p.a.Stats().Waiting < 5 || len(there.last().got()) < 5 {
			if ctx.Err() != nil {
				return to, ctx.Err()
			}
		}
		return to, err
	}})
	all.Wait()
	p.a.directory.(*joined).lags.Store(false)
	got := there.last().got()
	slices.Sort(got)
	if want := numbers("", 5); !slices.Equal(got, want) {
		t.Errorf("it took %v", got)
	}
}

// TestMovesUnderLoad: a cell that is moved to and fro, and now and then is not, takes what each sender
// sends in order, once, and all of it.
func TestMovesUnderLoad(t *testing.T) {
	const senders, moves = 4, 20
	p := newPair(t, Options{})
	var cells started
	p.spawn(t, cells.plan())
	var all sync.WaitGroup
	var over atomic.Bool
	sent := make([]int, senders)
	for sender := range senders {
		all.Go(func() {
			from := []*System{p.a, p.b}[sender%2]
			for !over.Load() {
				env := post(worker, fmt.Sprintf("%d:%d", sender, sent[sender]))
				if sender < 2 {
					env = exec(worker, fmt.Sprintf("%d:%d", sender, sent[sender]))
				}
				if r := from.Ask(soon(t), env); r.Err != nil {
					t.Errorf("sender %d: %+v", sender, r)
					return
				}
				sent[sender]++
			}
		})
	}
	at, to := p.a, p.b
	for i := range moves {
		body := p.to(t, to, cells.plan())
		if i%5 == 4 {
			body = Move{Take: stays}
		}
		r := p.move(t, at, body)
		if r.Epoch != uint64(i+2) {
			t.Fatalf("move %d: %+v", i, r)
		}
		if r.Err == nil {
			at, to = to, at
		}
	}
	over.Store(true)
	all.Wait()
	taken := append(cells.last().did(), cells.last().got()...)
	for sender := range senders {
		next, prefix := 0, fmt.Sprint(sender, ":")
		for _, each := range taken {
			number, is := strings.CutPrefix(each, prefix)
			if !is {
				continue
			}
			if number != fmt.Sprint(next) {
				t.Fatalf("sender %d: %s after %d", sender, number, next-1)
			}
			next++
		}
		if next != sent[sender] || next == 0 {
			t.Errorf("sender %d: %d taken of %d", sender, next, sent[sender])
		}
	}
	t.Logf("sent %v", sent)
}

// TestMoveArrives: what comes before the cell does waits for it, in order; where it does not come, it is
// to be asked elsewhere.
func TestMoveArrives(t *testing.T) {
	for name, comes := range map[string]bool{"comes": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			var cells started
			plan := cells.plan()
			plan.Carried = &Carried{Since: 1}
			plan.Next = func(context.Context, uint64) (uint64, error) { return 2, nil }
			var s *System
			var waits []func() Reply
			start := plan.Start
			plan.Start = func(ctx context.Context, epoch uint64) (cell.Cell, error) {
				for i := range 20 {
					env := exec(worker, fmt.Sprint(i))
					env.Epoch = 1
					waits = append(waits, s.Begin(soon(t), env))
				}
				waits = append(waits, s.Begin(soon(t), Envelope{To: worker, Body: Inspect{}}))
				if !comes {
					return nil, errNoRoom
				}
				return start(ctx, epoch)
			}
			s, told := newSystem(t, Options{})
			if err := s.Spawn(soon(t), worker, plan); (err == nil) != comes {
				t.Fatal(err)
			}
			for i, wait := range waits {
				if r := wait(); comes && (r.Err != nil || r.Epoch != 2) || !comes && !errors.Is(r.Err, ErrMoved) {
					t.Errorf("%d: %+v", i, r)
				}
			}
			if !comes {
				if len(told) != 0 || len(s.List("")) != 0 {
					t.Errorf("told %+v; there are %v", <-told, s.List(""))
				}
				return
			}
			if got := cells.last().did(); !slices.Equal(got, numbers("", 20)) {
				t.Errorf("ran %v", got)
			}
		})
	}
}

package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

// newTestBook is one whose actors forget at once.
func newTestBook() *book {
	b := newBook()
	b.forget = func(a actors.Address) <-chan struct{} {
		b.happened(actors.Event{Kind: actors.Left, Of: b.all[cellKey{a.Tenant, a.Name}]})
		return nil
	}
	return b
}

func reserve(b *book, k cellKey) (*entry, error) {
	e := newEntry(k, terms{}, actors.ID{})
	_, err := b.reserve(e)
	return e, err
}

func TestBookNames(t *testing.T) {
	b := newTestBook()
	a := cellKey{"t", "a"}
	first, err := reserve(b, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reserve(b, a); !errors.Is(err, cell.Invalid) {
		t.Errorf("the same name again: %v", err)
	}
	if _, err := reserve(b, cellKey{"u", "a"}); err != nil {
		t.Errorf("another tenant's: %v", err)
	}
	b.withdraw(first)
	if _, err := b.find(a); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("one that could not be started: %v", err)
	}
	second, err := reserve(b, a)
	if err != nil {
		t.Errorf("the name is not free again: %v", err)
	}
	b.withdraw(first) // again, and nothing of the second's
	if got, err := b.find(a); got != second {
		t.Errorf("%v, %v", got, err)
	}
	b.close()
	if _, err := reserve(b, cellKey{"t", "b"}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("after the end: %v", err)
	}
}

// The same request for a cell has the same entry, and another has none.
func TestBookRepetition(t *testing.T) {
	b, k := newTestBook(), cellKey{"t", "a"}
	first := newEntry(k, terms{}, actors.ID{1})
	if same, err := b.reserve(first); same != nil || err != nil {
		t.Fatal(same, err)
	}
	if same, err := b.reserve(newEntry(k, terms{}, actors.ID{1})); same != first || err != nil {
		t.Errorf("%v, %v", same, err)
	}
	if _, err := b.reserve(newEntry(k, terms{}, actors.ID{2})); !errors.Is(err, cell.Invalid) {
		t.Errorf("another request: %v", err)
	}
}

// watched tells when somebody waits for its end.
type watched struct {
	context.Context
	once  sync.Once
	waits chan struct{}
}

func (w *watched) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waits) })
	return w.Context.Done()
}

// Who waits for another's spawn takes over when that one has gone away, and only then.
func TestSpawnTakesOver(t *testing.T) {
	k, id := cellKey{"t", "a"}, actors.ID{1}
	again := func() *entry { return newEntry(k, terms{}, id) }
	invalid := &pb.SpawnRequest{Topics: make([]string, 65)} // what tells that it is tried
	for _, c := range []struct {
		name      string
		failed    error
		abandoned bool
		want      error
	}{
		{"it runs", nil, false, nil},
		{"it failed", cell.Errorf(cell.PolicyDenied, "no"), false, cell.PolicyDenied},
		{"who asked went away", context.Canceled, true, cell.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &cells{book: newTestBook()}
			first := again()
			if _, err := s.book.reserve(first); err != nil {
				t.Fatal(err)
			}
			ctx := &watched{Context: t.Context(), waits: make(chan struct{})}
			answer := make(chan error, 1)
			go func() {
				_, err := s.spawnOnce(ctx, again, invalid)
				answer <- err
			}()
			<-ctx.waits
			if c.failed != nil {
				s.book.withdraw(first)
			}
			first.failed, first.abandoned = c.failed, c.abandoned
			close(first.spawned)
			if err := <-answer; !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// However many of the cells that a node can have others have, one more tenant has its share.
func TestBookBounds(t *testing.T) {
	b := newTestBook()
	fill := func(tenant string) (n int) {
		for ; ; n++ {
			_, err := reserve(b, cellKey{tenant, fmt.Sprint(n)})
			if errors.Is(err, policystore.ErrLimited) {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		tenant string
		want   int
	}{{"t", maxLive / 2}, {"u", maxLive / 4}, {"v", maxLive / 8}} {
		if got := fill(c.tenant); got != c.want {
			t.Errorf("%s has %d cells, want %d", c.tenant, got, c.want)
		}
	}
	for _, name := range []string{"0", "1"} {
		b.happened(actors.Event{Kind: actors.Ended, Of: b.all[cellKey{"t", name}]})
	}
	if _, err := reserve(b, cellKey{"t", "y"}); !errors.Is(err, policystore.ErrLimited) {
		t.Errorf("one that has more than its share gets one: %v", err)
	}
	if _, err := reserve(b, cellKey{"v", "y"}); err != nil {
		t.Errorf("one that has not: %v", err)
	}
	for i := range maxLive {
		fill(fmt.Sprint("w", i))
	}
	if b.live != maxLive {
		t.Errorf("%d cells, %d are possible", b.live, maxLive)
	}
}

// What is told late of a cell that has ended is not told of the next that has its name: it stays to be found, and counts.
func TestBookHearsLate(t *testing.T) {
	b := newBook()
	b.forget = func(actors.Address) <-chan struct{} { return nil } // its actor is not idle yet
	k := cellKey{"t", "a"}
	first, err := reserve(b, k)
	if err != nil {
		t.Fatal(err)
	}
	b.happened(actors.Event{Kind: actors.Ended, Of: first})
	second, err := reserve(b, k)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []actors.EventKind{actors.Ended, actors.Left} {
		b.happened(actors.Event{Kind: kind, Of: first})
		if e, err := b.find(k); e != second || e.isFinal() || b.live != 1 {
			t.Errorf("%s: %v, %v, %d live", kind, e, err, b.live)
		}
	}
}

// Of ended cells the latest are kept, and no tenant's push all others out.
func TestBookRemembers(t *testing.T) {
	b := newTestBook()
	retire := func(tenant string, n int) {
		for i := range n {
			k := cellKey{tenant, fmt.Sprintf("%03d", i)}
			e, err := reserve(b, k)
			if err != nil {
				t.Fatal(err)
			}
			b.happened(actors.Event{Kind: actors.Ended, Of: e})
		}
	}
	retire("first", 5)
	retire("busy", 500)
	if first, busy := len(b.list("first")), len(b.list("busy")); first != 5 || busy != maxEndedOfOne {
		t.Errorf("%d and %d are remembered", first, busy)
	}
	if e, err := b.find(cellKey{"busy", "499"}); err != nil || e.key.name != "499" {
		t.Errorf("the latest: %v", err)
	}
	if _, err := b.find(cellKey{"busy", "000"}); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("the oldest: %v", err)
	}
	for i := range 100 {
		retire(fmt.Sprintf("t%d", i), 1)
	}
	if n := len(b.list("")); n != maxEnded {
		t.Errorf("%d are remembered, want %d", n, maxEnded)
	}
	if b.live != 0 || len(b.of) != 0 {
		t.Errorf("%d are counted, of %v", b.live, b.of)
	}
}

// Cells that end while others are being forgotten have others forgotten.
func TestBookForgetsEachOnce(t *testing.T) {
	b := newBook()
	var leaving []string
	b.forget = func(a actors.Address) <-chan struct{} {
		leaving = append(leaving, a.Name)
		return nil
	}
	var all []*entry
	for i := range maxEndedOfOne + 3 {
		e, err := reserve(b, cellKey{"t", fmt.Sprintf("%02d", i)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	for _, e := range all {
		b.happened(actors.Event{Kind: actors.Ended, Of: e})
	}
	if want := []string{"00", "01", "02"}; !slices.Equal(leaving, want) {
		t.Fatalf("%v are forgotten, want %v", leaving, want)
	}
	for _, e := range all[:3] {
		b.happened(actors.Event{Kind: actors.Left, Of: e})
	}
	if n := len(b.list("")); n != maxEndedOfOne {
		t.Errorf("%d are remembered, want %d", n, maxEndedOfOne)
	}
}

// Who does not wait any more for another's spawn looks at nothing of it.
func TestSpawnIsNotWaitedFor(t *testing.T) {
	k, id := cellKey{"t", "a"}, actors.ID{1}
	again := func() *entry { return newEntry(k, terms{}, id) }
	s := &cells{book: newTestBook()}
	first := again()
	if _, err := s.book.reserve(first); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		first.failed, first.abandoned = context.Canceled, true
		close(first.spawned)
	}()
	for range 100 {
		_, _ = s.spawnOnce(ctx, again, &pb.SpawnRequest{})
	}
	<-over
}

// A spawn that panics leaves no name behind, nor anybody who waits.
func TestSpawnThatPanics(t *testing.T) {
	s := &cells{book: newTestBook()} // without a store
	first := newEntry(cellKey{"t", "a"}, terms{}, actors.ID{1})
	func() {
		defer func() { _ = recover() }()
		_, _ = s.spawnOnce(t.Context(), func() *entry { return first }, &pb.SpawnRequest{})
	}()
	if err := first.whenSpawned(t.Context()); err == nil {
		t.Error("it is said to be spawned")
	}
	if _, err := s.book.find(first.key); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("its name is not free: %v", err)
	}
}

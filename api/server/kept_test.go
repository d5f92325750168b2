package server

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
)

// poster is a cell that has posted numbers.
type poster struct {
	cell.Cell
	posts chan cell.Item
	done  chan struct{}
	end   sync.Once
}

func (p *poster) Recv(ctx context.Context) (cell.Item, error) {
	select {
	case i := <-p.posts: // rather than an end
		return i, nil
	default:
	}
	select {
	case i := <-p.posts:
		return i, nil
	case <-ctx.Done():
		return cell.Item{}, cell.Errorf(cell.Cancelled, "nothing was posted")
	}
}

func (p *poster) Kill(string)                 { p.end.Do(func() { close(p.done) }) }
func (p *poster) Close(context.Context) error { p.Kill(""); return nil }
func (p *poster) Done() <-chan struct{}       { return p.done }
func (p *poster) Err() error                  { return nil }

// posted is an entry of a cell that has posted so many numbers, from 0.
func posted(t *testing.T, n int) (*cells, *entry) {
	t.Helper()
	p := &poster{posts: make(chan cell.Item, n), done: make(chan struct{})}
	for i := range n {
		p.posts <- number(i)
	}
	s := &cells{logger: slog.New(slog.DiscardHandler), actors: actors.New(actors.Options{})}
	t.Cleanup(func() { _ = s.actors.Close(context.Background()) })
	e := newEntry(cellKey{"t", "c"}, terms{}, actors.ID{})
	err := s.actors.Spawn(t.Context(), e.key.address(), actors.Plan{Life: e.id, Of: e, Start: func(context.Context, uint64) (cell.Cell, error) { return p, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return s, e
}

func number(i int) cell.Item {
	return cell.Item{Value: cell.Value{Type: cell.JSON, Data: []byte(strconv.Itoa(i))}}
}

// What a stream could not send the next one has, in its order; nothing is missing.
func TestStreamThatBreaks(t *testing.T) {
	const posts = 3 * atATime
	s, e := posted(t, posts)
	broken := errors.New("the client is gone")
	var got []string
	for until := 10; len(got) < posts; until += 25 {
		f := feed{cells: s, from: e, limit: uint64(posts - len(got)), send: func(r *pb.StreamResponse) error {
			if len(got) == until {
				return broken
			}
			got = append(got, r.GetPost().GetJson())
			return nil
		}}
		if err := f.run(t.Context()); !errors.Is(err, broken) && len(got) < posts {
			t.Fatalf("after %d posts: %v", len(got), err)
		}
	}
	var want []string
	for i := range posts {
		want = append(want, strconv.Itoa(i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("received %v", got)
	}
}

// A stream takes nothing while what it took is not sent.
func TestStreamTakesWhatItSends(t *testing.T) {
	s, e := posted(t, 3*atATime)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stuck, sending := make(chan struct{}), make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		f := feed{cells: s, from: e, send: func(*pb.StreamResponse) error {
			sending <- struct{}{}
			<-stuck
			return context.Canceled
		}}
		ended <- f.run(ctx)
	}()
	<-sending
	items, err := s.receive(t.Context(), e, actors.Recv{Max: 1})
	if err != nil || len(items) != 1 || string(items[0].Value.Data) != strconv.Itoa(atATime) {
		t.Errorf("another receives %v, %v", items, err)
	}
	close(stuck)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v", err)
	}
	if items, err = s.receive(t.Context(), e, actors.Recv{Max: 1}); err != nil || string(items[0].Value.Data) != "0" {
		t.Errorf("then it receives %v, %v", items, err)
	}
}

// Who waits for posts already has what another could not send.
func TestKeptWakesWhoWaits(t *testing.T) {
	s, e := posted(t, 0)
	got := make(chan []cell.Item, 1)
	go func() {
		items, _ := s.receive(t.Context(), e, actors.Recv{Max: 5})
		got <- items
	}()
	await.That(t, "it waits", func() bool {
		e.kept.mu.Lock()
		defer e.kept.mu.Unlock()
		return len(e.kept.waiting) == 1
	})
	s.keep(e, []cell.Item{number(7)})
	if items := <-got; len(items) != 1 || string(items[0].Value.Data) != "7" {
		t.Errorf("received %v", items)
	}
	if len(e.kept.waiting) != 0 {
		t.Errorf("%d still wait", len(e.kept.waiting))
	}
}

func TestKeptIsBounded(t *testing.T) {
	var k kept
	large := cell.Item{Value: cell.BytesValue(make([]byte, maxKept/2))}
	if lost := k.put([]cell.Item{large, large, large}); lost != 1 {
		t.Errorf("%d of three are lost", lost)
	}
	if items, _ := k.take(10, nil); len(items) != 2 || k.bytes != 0 || k.items != nil {
		t.Errorf("%d are taken, %d bytes are left", len(items), k.bytes)
	}
}

// What another node gives back is there once, before what is newer, and not while the cell leaves: then it goes with
// the cell, and so does what it is known by.
func TestBatchesAreKeptOnce(t *testing.T) {
	var here, there kept
	here.put([]cell.Item{number(3)})
	put := func(k *kept, id string, want bool, numbers ...int) {
		t.Helper()
		var items []cell.Item
		for _, n := range numbers {
			items = append(items, number(n))
		}
		if lost, left := k.putBatch(id, items); lost != 0 || left == want {
			t.Errorf("batch %s: %d are lost; it has left: %t", id, lost, left)
		}
	}
	put(&here, "x", true, 1, 2)
	put(&here, "x", true, 1, 2)
	items, given := here.carry()
	put(&here, "y", false, 0)
	there.came(items, given)
	put(&there, "x", true, 1, 2)
	put(&there, "y", true, 0)
	if got, _ := there.take(9, nil); !reflect.DeepEqual(got, []cell.Item{number(0), number(1), number(2), number(3)}) {
		t.Errorf("there are %v", got)
	}
	here.stays()
	put(&here, "y", true, 0)
	if got, _ := here.take(9, nil); len(got) != 1 {
		t.Errorf("where the cell stays there are %v", got)
	}
}

func TestBatchesThatAreKnownAreBounded(t *testing.T) {
	var k kept
	for i := range maxGiven + 5 {
		k.putBatch(strconv.Itoa(i), nil)
	}
	if len(k.given) != maxGiven || k.given[0] != "5" || validGiven(k.given) != nil || validGiven(append(k.given, "x")) == nil {
		t.Errorf("%d are known, from %s", len(k.given), k.given[0])
	}
}

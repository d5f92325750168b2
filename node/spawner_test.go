package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
)

// held starts cells whose operations end when they are let go.
type held struct{ letGo chan struct{} }

type heldCell struct {
	cell.Cell
	*held
}

func (h *held) Spawn(context.Context, cell.Spec) (cell.Cell, error) { return &heldCell{held: h}, nil }

func (c *heldCell) Done() <-chan struct{} { return c.letGo }

func (c *heldCell) Exec(context.Context, cell.Source) error { <-c.letGo; return nil }

func TestSpawnWaitsForTheNode(t *testing.T) {
	s := newSpawner(newCapacity(0, 0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Spawn(ctx, cell.Spec{}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("while it starts: %v", err)
	}
	spawned := make(chan error)
	go func() { _, err := s.Spawn(t.Context(), cell.Spec{}); spawned <- err }()
	h := &held{make(chan struct{})}
	t.Cleanup(func() { close(h.letGo) })
	s.begin(h)
	if err := <-spawned; err != nil {
		t.Error(err)
	}
}

// A node that ends before it has started lets nobody wait.
func TestSpawnEndsWithTheNode(t *testing.T) {
	s := newSpawner(newCapacity(0, 0))
	spawned := make(chan error)
	go func() { _, err := s.Spawn(t.Context(), cell.Spec{}); spawned <- err }()
	s.end()
	if err := <-spawned; !errors.Is(err, fault.ErrUnavailable) {
		t.Error(err)
	}
}

// A cell is of no session when that began while it was asked for: it would be cut off in it, and not when it has ended.
func TestSpawnWhileASessionBegins(t *testing.T) {
	s, h := newSpawner(newCapacity(0, 0)), &held{make(chan struct{})}
	close(h.letGo)
	s.begin(h)
	now := uint64(0)
	s.session = func() uint64 { return now }
	s.may = func() error { now = 7; return nil }
	if _, err := s.Spawn(t.Context(), cell.Spec{}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("as it began: %v", err)
	}
	c, err := s.Spawn(t.Context(), cell.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(t.Context(), cell.Source{}); err != nil {
		t.Errorf("in the session: %v", err)
	}
}

func TestDrainWaitsForOperations(t *testing.T) {
	s, h := newSpawner(newCapacity(0, 0)), &held{make(chan struct{})}
	s.begin(h)
	c, err := s.Spawn(t.Context(), cell.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	done := s.operate() // before the drain, whatever the scheduler does
	executed := make(chan error)
	go func() { executed <- c.Exec(t.Context(), cell.Source{}) }()
	s.drain()
	if _, err := s.Spawn(t.Context(), cell.Spec{}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a draining node starts a cell: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.quiet(short, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it is quiet while something is under way: %v", err)
	}
	close(h.letGo)
	if err := <-executed; err != nil {
		t.Error(err)
	}
	done()
	if err := s.quiet(t.Context(), time.Millisecond); err != nil {
		t.Error(err)
	}
	s.drain() // again is no harm
}

// One operation after another is no quiet, and an end waits for nothing.
func TestQuietIsAWhile(t *testing.T) {
	s := newSpawner(newCapacity(0, 0))
	ctx, cancel := context.WithCancel(t.Context())
	working := make(chan struct{})
	go func() {
		defer close(working)
		for ctx.Err() == nil {
			s.operate()()
		}
	}()
	short, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer end()
	if err := s.quiet(short, time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("between two operations: %v", err)
	}
	cancel()
	<-working
	defer s.operate()()
	s.end()
	if err := s.quiet(t.Context(), 0); !errors.Is(err, errEnded) {
		t.Errorf("after the end: %v", err)
	}
}

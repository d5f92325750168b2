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

func (c *heldCell) Exec(context.Context, cell.Source) error { <-c.letGo; return nil }

func TestSpawnWaitsForTheNode(t *testing.T) {
	s := newSpawner()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Spawn(ctx, cell.Spec{}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("while it starts: %v", err)
	}
	spawned := make(chan error)
	go func() { _, err := s.Spawn(t.Context(), cell.Spec{}); spawned <- err }()
	s.begin(&held{})
	if err := <-spawned; err != nil {
		t.Error(err)
	}
}

// A node that ends before it has started lets nobody wait.
func TestSpawnEndsWithTheNode(t *testing.T) {
	s := newSpawner()
	spawned := make(chan error)
	go func() { _, err := s.Spawn(t.Context(), cell.Spec{}); spawned <- err }()
	s.end()
	if err := <-spawned; !errors.Is(err, fault.ErrUnavailable) {
		t.Error(err)
	}
}

func TestDrainWaitsForOperations(t *testing.T) {
	s, h := newSpawner(), &held{make(chan struct{})}
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
	select {
	case <-s.idle():
		t.Error("it is idle while something is under way")
	default:
	}
	close(h.letGo)
	if err := <-executed; err != nil {
		t.Error(err)
	}
	done()
	select {
	case <-s.idle():
	case <-time.After(time.Minute):
		t.Error("it is never idle")
	}
	s.drain() // again is no harm
}

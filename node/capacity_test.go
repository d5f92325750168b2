package node

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// mortal is a cell that ends when it is killed, unless it is stuck.
type mortal struct {
	cell.Cell
	stuck bool
	once  sync.Once
	done  chan struct{}
	why   string
}

func newMortal() *mortal { return &mortal{done: make(chan struct{})} }

func (m *mortal) Done() <-chan struct{} { return m.done }

func (m *mortal) Kill(reason string) {
	if m.stuck {
		return
	}
	m.end(reason)
}

func (m *mortal) end(why string) {
	m.once.Do(func() {
		m.why = why
		close(m.done)
	})
}

// start takes room for a cell that takes so much.
func start(t *testing.T, c *capacity, memory int64) (*mortal, error) {
	t.Helper()
	p, err := c.take(cell.Limits{Memory: memory})
	if err != nil {
		return nil, err
	}
	m := newMortal()
	t.Cleanup(func() { m.end("the test ends") })
	if p.settle(m) {
		t.Error("it is said to be killed")
	}
	return m, nil
}

func TestRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name          string
		cells         int
		memory        int64
		started       []int64 // what cells take
		next          int64
		says          string // "": it is taken
		takenWhenFull int64
	}{
		{"no bounds", 0, 0, []int64{1 << 40, 1 << 40}, 1 << 40, "", 0},
		{"cells", 2, 0, []int64{mib, mib}, mib, "this node has 2 cells, which is the most", 2 * mib},
		{"memory", 0, 10 * mib, []int64{4 * mib, 4 * mib}, 4 * mib, "the cell may take 4 MiB, and of the 10 MiB that this node has for cells 2 MiB are left", 8 * mib},
		{"all of the memory", 0, 12 * mib, []int64{4 * mib, 4 * mib}, 4 * mib, "", 0},
		{"the default counts", 0, cell.DefaultMemory, nil, 0, "", 0},
		{"the default is too much", 0, cell.DefaultMemory - 1, nil, 0, "the cell may take 128 MiB", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			room := newCapacity(c.cells, c.memory)
			var first *mortal
			for i, memory := range c.started {
				m, err := start(t, room, memory)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = m
				}
			}
			_, err := start(t, room, c.next)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, policystore.ErrLimited) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if r := room.room(); r.CellsUsed != len(c.started) || r.MemoryUsed != c.takenWhenFull {
				t.Errorf("there is %+v", r)
			}
			if first == nil {
				return
			}
			first.end("by itself")
			await.That(t, "its room is another's", func() bool { _, err := start(t, room, c.next); return err == nil })
		})
	}
}

func TestKillEndsAllAndWaits(t *testing.T) {
	room := newCapacity(0, 0)
	one, err := start(t, room, 0)
	if err != nil {
		t.Fatal(err)
	}
	coming, err := room.take(cell.Limits{}) // it is being started
	if err != nil {
		t.Fatal(err)
	}
	if err := room.kill(t.Context(), "cut off"); err != nil || one.why != "cut off" {
		t.Errorf("%v; it ended for %q", err, one.why)
	}
	late := newMortal()
	defer late.end("the test ends")
	if !coming.settle(late) {
		t.Error("a cell that was being started lives on")
	}
	stuck, err := start(t, room, 0)
	if err != nil {
		t.Fatal(err)
	}
	stuck.stuck = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := room.kill(ctx, "cut off"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cells have not ended") {
		t.Errorf("with one that is stuck: %v", err)
	}
}

// slow starts cells when it is let.
type slow struct{ begun, release chan struct{} }

func (s slow) Spawn(context.Context, cell.Spec) (cell.Cell, error) {
	close(s.begun)
	<-s.release
	return newMortal(), nil
}

func TestACellThatComesAfterAllWereKilledIsKilled(t *testing.T) {
	room, with := newCapacity(0, 0), slow{make(chan struct{}), make(chan struct{})}
	s := newSpawner(room)
	s.begin(with)
	failed := make(chan error)
	go func() {
		_, err := s.Spawn(context.Background(), cell.Spec{})
		failed <- err
	}()
	<-with.begun
	if err := room.kill(t.Context(), "cut off"); err != nil {
		t.Fatal(err)
	}
	close(with.release)
	if err := <-failed; !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	await.That(t, "it has given its room back", func() bool { return room.room().CellsUsed == 0 })
}

func TestAFencedNodeStartsNothing(t *testing.T) {
	room := newCapacity(0, 0)
	s := newSpawner(room)
	s.may = func() error { return fault.ErrUnavailable }
	s.begin(slow{})
	if _, err := s.Spawn(t.Context(), cell.Spec{}); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if r := room.room(); r.CellsUsed != 0 {
		t.Errorf("it takes room: %+v", r)
	}
}

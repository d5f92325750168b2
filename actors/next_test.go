package actors

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// registrar gives epochs as a cluster does: with gaps, and not always.
type registrar struct {
	mu    sync.Mutex
	asked []uint64 // after which it was asked for another
	next  func(last uint64) (uint64, error)
}

func (r *registrar) Next(_ context.Context, last uint64) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, last)
	return r.next(last)
}

// TestEpochsAreGiven: each incarnation has the epoch that the plan is given for it, from the first on.
func TestEpochsAreGiven(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	p, r := restarted(&cells), &registrar{next: func(last uint64) (uint64, error) { return last + 7, nil }}
	p.Next = r.Next
	spawn(t, s, worker, p)
	if e := told.await(t, Started); e.Epoch != 7 {
		t.Errorf("%+v", e)
	}
	cells.last().Kill("crashed")
	told.await(t, Restarting)
	if e := told.await(t, Started); e.Epoch != 14 {
		t.Errorf("%+v", e)
	}
	env := exec(worker, "")
	env.Epoch = 7
	if r := s.Ask(soon(t), env); cell.KindOf(r.Err) != cell.CellGone || r.Epoch != 14 {
		t.Errorf("for the one before: %+v", r)
	}
	env.Epoch = 14
	if r := s.Ask(soon(t), env); r.Err != nil {
		t.Error(r.Err)
	}
	if len(r.asked) != 2 || r.asked[0] != 0 || r.asked[1] != 7 {
		t.Errorf("asked after %v", r.asked)
	}
}

// TestNoEpochNoCell: without an epoch of its own nothing is started, and the name is free.
func TestNoEpochNoCell(t *testing.T) {
	for name, next := range map[string]func(uint64) (uint64, error){
		"refused":       func(uint64) (uint64, error) { return 0, cell.Errorf(cell.Invalid, "it is another's") },
		"none":          func(uint64) (uint64, error) { return 0, nil },
		"a panic":       func(uint64) (uint64, error) { panic("at the disco") },
		"one with both": func(uint64) (uint64, error) { return 9, errors.New("it is another's") },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSystem(t, Options{})
			var cells started
			p, r := cells.plan(), &registrar{next: next}
			p.Next = r.Next
			if err := s.Spawn(soon(t), worker, p); err == nil {
				t.Error("it is spawned")
			}
			if len(cells.cells) != 0 || len(s.List("")) != 0 {
				t.Errorf("started %d, named %v", len(cells.cells), s.List(""))
			}
			spawn(t, s, worker, cells.plan())
		})
	}
}

// TestEpochIsNotToBeHad: a cell whose next epoch is refused is not started again, counts that as an end,
// and is asked for after the same epoch until there is one.
func TestEpochIsNotToBeHad(t *testing.T) {
	s, told := newSystem(t, Options{})
	var cells started
	refusals := 1
	r := &registrar{}
	r.next = func(last uint64) (uint64, error) {
		switch {
		case last == 0:
			return 3, nil
		case refusals > 0:
			refusals--
			return 0, errors.New("this node is cut off")
		}
		return last, nil // which is none
	}
	p := restarted(&cells)
	p.Next = r.Next
	spawn(t, s, worker, p)
	told.await(t, Started)
	cells.last().Kill("crashed")
	told.await(t, Restarting)
	if e := told.await(t, Restarting); !strings.Contains(e.Reason, "cut off") {
		t.Errorf("%+v", e)
	}
	if e := told.await(t, Quarantined); e.Epoch != 3 || !strings.Contains(e.Reason, "the epoch after 3 is said to be 3") {
		t.Errorf("%+v", e)
	}
	if len(r.asked) != 3 || r.asked[1] != 3 || r.asked[2] != 3 {
		t.Errorf("asked after %v", r.asked)
	}
}

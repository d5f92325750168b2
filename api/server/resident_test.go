package server

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// confined is a cell that takes any policy.
type confined struct {
	poster
	reloads atomic.Int32
}

func (c *confined) Spec() cell.Spec { return cell.Spec{} }

func (c *confined) Reload(context.Context, cell.Revision) (cell.Reloaded, error) {
	c.reloads.Add(1)
	return cell.Reloaded{}, nil
}

// A node that is by itself counts epochs from 1: what is asked of a cell that has ended is not done to the next of its name.
func TestResidentAsksItsOwnCell(t *testing.T) {
	s := actors.New(actors.Options{})
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	k := cellKey{"t", "c"}
	spawn := func() (*resident, *confined) {
		p := &confined{poster: poster{done: make(chan struct{})}}
		r := &resident{entry: newEntry(k, terms{}, actors.ID{}), actors: s, cell: p}
		err := s.Spawn(t.Context(), k.address(), actors.Plan{Life: r.entry.id, Start: func(context.Context, uint64) (cell.Cell, error) { return p, nil }})
		if err != nil {
			t.Fatal(err)
		}
		r.owned.Store(1)
		return r, p
	}
	first, _ := spawn()
	if reply := first.ask(t.Context(), 1, actors.Close{}); reply.Err != nil {
		t.Fatal(reply.Err)
	}
	_, next := spawn()
	if _, _, err := first.reload(t.Context(), live.Revision{Compiled: &document.Compiled{}}); cell.KindOf(err) != cell.CellGone || next.reloads.Load() != 0 {
		t.Errorf("the next has the policy of the first: %v", err)
	}
	first.kill(t.Context(), "its policy is half of one")
	select {
	case <-next.done:
		t.Error("the next is killed for the first")
	default:
	}
}

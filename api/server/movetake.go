package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

// What a move does while the cell's actor is held is here.

// carryOut is take, which has failed until it says otherwise, also when it panics: its actor recovers.
func (m *move) carryOut(ctx context.Context, c cell.Cell, held actors.Moving, session uint64) (actors.Moved, error) {
	m.err = cell.Errorf(cell.CellGone, "the move of cell %s to node %s has broken off; the node's log says where", m.entry.key, m.to)
	to, err := m.take(ctx, c, held, session)
	if err == nil && to.Via != nil {
		m.err = nil
	}
	return to, err
}

// take moves the cell, for its actor to wait for: nothing runs in it, and what comes is held.
func (m *move) take(ctx context.Context, c cell.Cell, held actors.Moving, session uint64) (actors.Moved, error) {
	f, a := m.cells.fabric, m.entry.key.address()
	defer f.Hand(a)()
	before, _ := f.Find(a)
	m.epoch, m.had = held.Epoch, m.entry.touched.count.Load()
	m.pauses(true)
	defer func() { m.held() }()
	begun := make(chan error, 1)
	go func() { // while the state is taken out; to its end, or it could come about after it was aborted
		err := f.BeginMove(context.WithoutCancel(ctx), a, m.epoch, m.id, m.to, session)
		begunPoint.Hit()
		begun <- err
	}()
	err := m.copy(ctx, c)
	if failed := <-begun; failed != nil {
		err = errors.Join(failed, err)
	}
	if err == nil {
		err = f.Freeze(ctx, a, m.epoch, m.state, []string{f.Self(), m.to})
	}
	return m.handOver(ctx, c, held, before, err)
}

// handOver has the target run the cell, if nothing has failed so far, and finds out where it is. When ctx ends the
// target is not waited for: the cluster is asked to decide.
func (m *move) handOver(ctx context.Context, c cell.Cell, held actors.Moving, before Place, err error) (actors.Moved, error) {
	if err == nil {
		frozenPoint.Hit()
		m.enter(activating)
		err = m.activate(ctx, held)
	}
	return m.decided(context.WithoutCancel(ctx), c, before, err)
}

// activate has the target be the owner, and run it.
func (m *move) activate(waiting context.Context, held actors.Moving) error {
	ctx, cancel := context.WithTimeout(waiting, activateWithin)
	defer cancel()
	carried, err := held.Carried.MarshalBinary()
	if err != nil {
		return fmt.Errorf("what goes with cell %s: %w", m.entry.key, err)
	}
	m.entry.mu.Lock()
	restarts := m.entry.restarts
	m.entry.mu.Unlock()
	ask := &pb.ActivateRequest{Migration: m.id, Checkpoint: m.state, Epoch: m.epoch, Carried: carried, Restarts: restarts, Before: m.entry.before}
	m.kept, ask.Given = m.entry.kept.carry()
	ask.Kept = itemsTo(m.kept)
	_, err = m.target().transfers.Activate(ctx, toPeer(ctx, ask))
	activatedPoint.Hit()
	m.runs = err == nil
	if err != nil && waiting.Err() != nil {
		return cell.Errorf(cell.Cancelled, "node %s was not waited for: %v", m.to, context.Cause(waiting))
	}
	return fault.Answered(fromPeer(ctx, m.to, err))
}

// decided finds out where the cell is by what was agreed, whatever err said, and has it go on here if it is
// this node's.
func (m *move) decided(ctx context.Context, c cell.Cell, before Place, err error) (actors.Moved, error) {
	f, a := m.cells.fabric, m.entry.key.address()
	var place Place
	var failed error
	if err == nil {
		place, failed = f.Decided(ctx, a, m.epoch)
	} else {
		m.enter(aborting)
		place, failed = m.abort(ctx, c)
		abortedPoint.Hit()
	}
	switch {
	case failed != nil || place.Node != f.Self() && place.Node != m.to:
		m.lost, m.err = true, cell.Errorf(cell.CellGone, "cell %s was lost on its way to node %s: %v", m.entry.key, m.to, errors.Join(failed, err))
		m.cells.lost(m.entry, len(m.kept), "the cell was lost on its way")
		c.Kill("it was lost on its way to node " + m.to)
		return actors.Moved{}, m.err
	case place.Node == f.Self():
		return m.stay(ctx, c, before, place, err)
	}
	m.pauses(false)
	m.entry.leave(m.to)
	m.cells.keep(m.entry, nil) // what was given back since it was said what goes with it
	m.cells.book.leave(m.entry, c.Done())
	leftPoint.Hit()
	m.set(func(s *stage) { s.epoch, s.node = place.Epoch, m.to })
	return actors.Moved{Epoch: place.Epoch, Via: f.Via(m.to), Node: m.to}, nil // wherever it goes from there
}

// abort ends the move, if it is not decided yet, and tells how it was.
func (m *move) abort(ctx context.Context, c cell.Cell) (place Place, err error) {
	f, a := m.cells.fabric, m.entry.key.address()
	for next := again[0]; ; next = min(2*next, time.Second) {
		place, err = f.AbortMove(ctx, a, m.epoch)
		switch {
		case err == nil:
			return place, nil
		case errors.Is(err, policystore.ErrConflict) && place.Epoch == m.epoch && place.Node == f.Self(): // it had not begun
			return place, nil
		case !errors.Is(err, fault.ErrUnavailable):
			return place, err
		}
		select { // nobody knows: the guest stays frozen for as long as this node has a lease
		case <-c.Done():
			return place, err
		default:
		}
		if !pause.For(ctx, next) {
			return place, err
		}
	}
}

// stay has the cell go on here.
func (m *move) stay(ctx context.Context, c cell.Cell, before, place Place, why error) (actors.Moved, error) {
	if why == nil {
		why = fmt.Errorf("%w: node %s could not run it, and has given it back", fault.ErrUnavailable, m.to)
	}
	m.err = why
	m.cells.keep(m.entry, m.kept)
	m.entry.kept.stays()
	if !place.Resumes(before, m.state) {
		m.lost, m.err = true, cell.Errorf(cell.CellGone, "cell %s was lost: it is in epoch %d, and this is its state of %d: %v", m.entry.key, place.Epoch, m.epoch, why)
		c.Kill(m.err.Error())
		return actors.Moved{}, m.err
	}
	m.entry.renewed(place.Epoch)
	m.set(func(s *stage) { s.epoch = place.Epoch })
	if err := c.Thaw(ctx); err != nil {
		m.lost, m.err = true, errors.Join(why, err)
		c.Kill("it could not go on")
	} else {
		m.back = place
	}
	m.pauses(false)
	stayedPoint.Hit()
	if m.state != "" { // there is no checkpoint of it after all
		m.entry.touched.count.Add(m.had)
	}
	return actors.Moved{Epoch: place.Epoch}, nil
}

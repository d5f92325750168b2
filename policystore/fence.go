package policystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/pyisolate/pyisolate/internal/boottime"
)

// fence returns when everything that was acknowledged before it was called has been applied
// here. A node that does not lead asks who does how far that is.
func (s *Store) fence(ctx context.Context) error {
	if s.config.Cluster == nil {
		return s.fenceHere(ctx)
	}
	if err := s.state.failure(); err != nil {
		return err
	}
	began := boottime.Now()
	err := s.atLeader(ctx, func(ctx context.Context, leader string) error {
		if leader == s.config.NodeID {
			return s.fenceHere(ctx)
		}
		o := s.ask(ctx, leader, request{question: askIndex})
		if errors.Is(o.err, ErrUncertain) { // asking changes nothing
			return &told{ErrNotLeader, o.err.Error()}
		}
		if o.err != nil {
			return o.err
		}
		return s.reach(ctx, o.index)
	})
	if err == nil {
		s.fresh.note(began)
	}
	return err
}

// fenceHere is fence for a node that leads all the while.
func (s *Store) fenceHere(ctx context.Context) error {
	for {
		if err := s.state.failure(); err != nil {
			return err
		}
		term, changed, err := s.lead.get()
		if err != nil {
			return err
		}
		if err := s.verifyLeader(ctx); err != nil {
			return err
		}
		if term != 0 && s.raft.CurrentTerm() == term {
			return nil
		}
		select { // it leads and is not ready
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.life.Done():
			return ErrClosed
		}
	}
}

func (s *Store) verifyLeader(ctx context.Context) error {
	if err := s.await(ctx, func() error { return s.raft.VerifyLeader().Error() }); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return s.raftError(err)
	}
	return nil
}

// reach waits until a command is applied here.
func (s *Store) reach(ctx context.Context, index uint64) error {
	for {
		moved := s.state.moved.next() // before looking, so that nothing is missed
		applied, err := s.applied()
		if err != nil || applied >= index {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("entry %d is not on node %s yet, which has %d: %w", index, s.config.NodeID, applied, context.Cause(ctx))
		case <-s.life.Done():
			return ErrClosed
		}
	}
}

// applied is the index of the last command that this node has applied; the error is why it
// applies no more.
func (s *Store) applied() (uint64, error) { return (&fsm{s.state}).appliedIndex() }

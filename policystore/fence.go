package policystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/boottime"
	"github.com/pyisolate/pyisolate/internal/readindex"
)

// fence returns when everything that was acknowledged before it was called has been applied
// here. A node that does not lead asks who does how far that is.
func (s *Store) fence(ctx context.Context) error {
	if s.config.Cluster == nil {
		return s.fenceHere(ctx, voice{})
	}
	if err := s.state.failure(); err != nil {
		return err
	}
	began := boottime.Now()
	err := s.atLeader(ctx, func(ctx context.Context, leader string) error {
		index, err := s.indexAt(ctx, leader)
		if err != nil {
			return err
		}
		return s.reach(ctx, index)
	})
	if err == nil {
		s.fresh.note(began)
	}
	return err
}

// indexAt asks a leader how far whoever reads must have applied.
func (s *Store) indexAt(ctx context.Context, leader string) (uint64, error) {
	if leader == s.config.NodeID {
		return s.readIndex(ctx, voice{})
	}
	o := s.ask(ctx, leader, request{question: askIndex})
	if errors.Is(o.err, ErrUncertain) { // asking changes nothing
		return 0, &told{ErrNotLeader, o.err.Error()}
	}
	return o.index, o.err
}

// readIndex is of the last command that anybody can have seen the effect of; this node must lead. It
// may not have applied that itself: others can be ahead of it. by is another node that has a say in
// whether it leads.
func (s *Store) readIndex(ctx context.Context, by voice) (uint64, error) {
	if err := s.fenceHere(ctx, by); err != nil {
		return 0, err
	}
	applied, err := s.applied()
	if err != nil {
		return 0, err
	}
	return readindex.Committed(s.log, s.raft.CommitIndex(), applied)
}

// fenceHere returns when this node led, in a term in which it has applied what earlier leaders
// acknowledged, at some moment after the call. That is a fence for a node by itself.
func (s *Store) fenceHere(ctx context.Context, by voice) error {
	for {
		if err := s.state.failure(); err != nil {
			return err
		}
		term, changed, err := s.lead.get()
		if err != nil {
			return err
		}
		if s.raft.State() != raft.Leader {
			return s.raftError(raft.ErrNotLeader)
		}
		if term != 0 {
			return s.stillLeads(ctx, term, by)
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

// voice is in which term of Raft a node was, at some moment after a fence began.
type voice = readindex.Voice

// stillLeads is nil if whatever was acknowledged before it was called no later leader acknowledged.
func (s *Store) stillLeads(ctx context.Context, term uint64, by voice) error {
	if s.config.Cluster == nil {
		return s.verifyLeader(ctx)
	}
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return s.raftError(err)
	}
	if s.raft.CurrentTerm() != term {
		return s.raftError(raft.ErrNotLeader)
	}
	err := readindex.Poll{
		Self: s.config.NodeID, Term: term, Voters: readindex.Voters(f.Configuration()), By: by, Timeout: s.config.Cluster.Timeout,
		Ask: func(ctx context.Context, node string) (uint64, error) {
			o := s.ask(ctx, node, request{question: askTerm})
			return o.term, o.err
		},
	}.Confirm(ctx)
	if err != nil {
		return &told{ErrNotLeader, err.Error()}
	}
	return nil
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

package policystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/boottime"
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
	for i := s.raft.CommitIndex(); err == nil && i > applied; i-- {
		var entry raft.Log
		if err = s.log.GetLog(i, &entry); err == nil && entry.Type == raft.LogCommand {
			return i, nil
		}
	}
	return applied, err
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
type voice struct {
	node string
	term uint64
}

// stillLeads is nil if, after it was called, a majority was in no later term than the one in which
// this node leads: whatever was acknowledged before, no later leader did it. Raft's own question,
// VerifyLeader, also counts what others had answered before it was asked, which is too old when
// leadership was handed over meanwhile, or this process stood still.
func (s *Store) stillLeads(ctx context.Context, term uint64, by voice) error {
	if s.config.Cluster == nil {
		return s.verifyLeader(ctx)
	}
	members, err := s.Members()
	if err != nil {
		return err
	}
	voters, agree := 0, 0
	var others []string
	for _, m := range members {
		switch {
		case !m.Voter:
			continue
		case m.Node == s.config.NodeID, m.Node == by.node && by.term == term:
			agree++
		default:
			others = append(others, m.Node)
		}
		voters++
	}
	return s.poll(ctx, term, others, voters/2+1-agree)
}

// poll asks voters for their terms, until so many are in the given one.
func (s *Store) poll(ctx context.Context, term uint64, voters []string, need int) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Cluster.Timeout)
	defer cancel()
	answers := make(chan outcome, len(voters))
	if need > 0 {
		for _, node := range voters {
			if err := s.join(); err != nil {
				return err
			}
			go func() {
				defer s.calls.Done()
				answers <- s.ask(ctx, node, request{question: askTerm})
			}()
		}
	}
	for asked := 0; need > 0; asked++ {
		if asked == len(voters) {
			return fmt.Errorf("%w: node %s leads and does not reach a majority", ErrNotLeader, s.config.NodeID)
		}
		switch o := <-answers; {
		case o.err == nil && o.term > term:
			return fmt.Errorf("%w: node %s does not lead any more", ErrNotLeader, s.config.NodeID)
		case o.err == nil:
			need--
		}
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

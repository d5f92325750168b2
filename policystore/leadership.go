package policystore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/pause"
)

// leadership is whether this node leads, and is ready to: whether it has applied all that
// earlier leaders acknowledged.
type leadership struct {
	mu      sync.Mutex
	term    uint64        // that the node leads, 0 for none
	err     error         // why it could not get ready the last time
	disk    error         // why Raft cannot go on, nil while it can
	changed chan struct{} // closed, and replaced, when the others change
}

func (l *leadership) init() { l.changed = make(chan struct{}) }

func (l *leadership) set(term uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term, l.err = term, err
	l.announce()
}

func (l *leadership) setDisk(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disk = err
	l.announce()
}

func (l *leadership) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leadership) get() (term uint64, changed <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disk != nil {
		return 0, l.changed, l.disk
	}
	return l.term, l.changed, l.err
}

// broken is why Raft cannot go on, nil while it can.
func (l *leadership) broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.disk
}

// wait returns when the node is ready to lead, or could not become so.
func (l *leadership) wait(ctx context.Context, closing <-chan struct{}) error {
	for {
		term, changed, err := l.get()
		if term != 0 || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for leadership: %w", ctx.Err())
		case <-closing:
			return ErrClosed
		}
	}
}

// follow follows leadership until the store closes.
func (s *Store) follow() {
	defer s.calls.Done()
	failing := s.state.failing
	for {
		select {
		case <-s.life.Done():
			return
		case <-failing:
			failing = nil
			s.config.Logger.Error("this node applies no more changes", "error", s.state.failure())
			s.giveWay()
		case leads := <-s.raft.LeaderCh():
			if !leads {
				s.lead.set(0, nil)
				continue
			}
			term, err := s.getReady()
			switch {
			case s.life.Err() != nil, errors.Is(err, raft.ErrRaftShutdown):
				return
			case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrNotLeader), errors.Is(err, ErrNotLeader):
				term, err = 0, nil // another will lead, or this node again
			case err != nil:
				s.config.Logger.Error("this node leads and cannot get ready", "error", err)
			}
			s.lead.set(term, err)
			if err != nil {
				s.giveWay()
			}
		}
	}
}

// giveWay has another node lead, if there is one, when this one cannot: the others go on.
func (s *Store) giveWay() {
	if s.config.Cluster == nil || s.raft.State() != raft.Leader {
		return
	}
	if err := s.await(s.life, func() error { return s.raft.LeadershipTransfer().Error() }); err != nil {
		s.config.Logger.Warn("no other node could take over the policies", "error", err)
	}
}

// diskFailing notes why Raft cannot go on, or that it can again.
func (s *Store) diskFailing(err error) {
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
		s.config.Logger.Error("the log cannot be written; the store does nothing until it can", "error", err)
	} else {
		s.config.Logger.Info("the log can be written again")
	}
	s.lead.setDisk(err)
}

// getReady makes the node's state that of all acknowledged entries, and returns the term
// in which it is.
func (s *Store) getReady() (uint64, error) {
	term := s.raft.CurrentTerm()
	if err := s.applyAll(); err != nil {
		return 0, err
	}
	if s.raft.CurrentTerm() != term {
		return 0, raft.ErrLeadershipLost
	}
	if err := s.state.failure(); err != nil {
		return 0, err
	}
	if err := s.warnOfClock(); err != nil {
		return 0, err
	}
	return term, s.makeFirstToken()
}

// barrierPause is between attempts to know what earlier leaders acknowledged.
const barrierPause = 20 * time.Millisecond

// applyAll returns when this node, which leads, has applied what was acknowledged before. Raft refuses a leader until the
// message by which it gave the lead away earlier is answered, and nobody tells when that is.
func (s *Store) applyAll() error {
	for {
		err := s.await(s.life, func() error { return s.raft.Barrier(0).Error() })
		if !errors.Is(err, raft.ErrLeadershipTransferInProgress) || !pause.For(s.life, barrierPause) {
			return err
		}
	}
}

// await runs ask, which asks Raft and waits for its answer, and returns at the latest when ctx or the
// store ends; ask goes on then. Close does not wait for it: what Raft had under way when it was shut
// down may never be answered.
func (s *Store) await(ctx context.Context, ask func() error) error {
	done := make(chan error, 1)
	go func() { done <- ask() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return ErrClosed
	}
}

// raftError says in this package's errors what Raft says, for what is certainly not done.
func (s *Store) raftError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		if id := s.Leader(); id != "" && id != s.config.NodeID {
			return fmt.Errorf("%w on node %s: node %s leads", ErrNotLeader, s.config.NodeID, id)
		}
		return fmt.Errorf("%w now: try again", ErrNotLeader)
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	}
	return err
}

package policystore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
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
	for {
		select {
		case <-s.closing:
			return
		case leads := <-s.raft.LeaderCh():
			if !leads {
				s.lead.set(0, nil)
				continue
			}
			term, err := s.getReady()
			switch {
			case errors.Is(err, raft.ErrRaftShutdown), errors.Is(err, ErrClosed):
				return
			case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrNotLeader), errors.Is(err, ErrNotLeader):
				term, err = 0, nil // another will lead, or this node again
			case err != nil:
				s.config.Logger.Error("this node leads and cannot get ready", "error", err)
			}
			s.lead.set(term, err)
		}
	}
}

// diskFailing notes why Raft cannot go on, or that it can again.
func (s *Store) diskFailing(err error) {
	if err != nil {
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
	if err := s.raft.Barrier(0).Error(); err != nil {
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

// fence returns when everything that was acknowledged before it was called has been applied
// here, and this node led all the while.
func (s *Store) fence(ctx context.Context) error {
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
			return ctx.Err()
		case <-s.closing:
			return ErrClosed
		}
	}
}

func (s *Store) verifyLeader(ctx context.Context) error {
	if err := s.await(ctx, func() error { return s.raft.VerifyLeader().Error() }); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.raftError(err)
	}
	return nil
}

// await runs ask, which asks Raft and waits for its answer, and returns at the latest when ctx
// ends; ask goes on then.
func (s *Store) await(ctx context.Context, ask func() error) error {
	if ctx.Done() == nil {
		return ask()
	}
	if err := s.join(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer s.calls.Done()
		done <- ask()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// raftError says in this package's errors what Raft says, for what is certainly not done.
func (s *Store) raftError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		if address, id := s.raft.LeaderWithID(); id != "" {
			return fmt.Errorf("%w: ask node %s at %s", ErrNotLeader, id, address)
		}
		return fmt.Errorf("%w, and there is none now: try again", ErrNotLeader)
	case errors.Is(err, raft.ErrRaftShutdown):
		return ErrClosed
	}
	return err
}

// enqueueTimeout bounds the wait for Raft to take a proposal.
const enqueueTimeout = 10 * time.Second

package policystore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

const (
	// enqueueTimeout bounds the wait for Raft to take a proposal.
	enqueueTimeout = 10 * time.Second
	// patience is how long a call looks for a leader, if its context does not end before. An election
	// takes less than two seconds; without a majority there is none to be found.
	patience = 5 * time.Second
	// firstPause and lastPause are between two attempts to find one.
	firstPause = 5 * time.Millisecond
	lastPause  = 100 * time.Millisecond
	// catchUpTime is how long a revocation that was made at the leader is waited for here.
	catchUpTime = time.Second
)

// propose has a command applied by whoever leads and returns what that came to. In a cluster it
// asks again until that is known, and nothing is made twice: the command's request id, or one that
// is made here, tells.
func (s *Store) propose(ctx context.Context, c *command) (outcome, error) {
	if err := ctx.Err(); err != nil {
		return outcome{}, err
	}
	if err := s.join(); err != nil {
		return outcome{}, err
	}
	defer s.calls.Done()
	if err := cmp.Or(s.state.failure(), s.lead.broken()); err != nil {
		return outcome{}, err
	}
	if s.config.Cluster == nil {
		o := s.commit(ctx, c)
		return o, o.err
	}
	if c.requestID == "" && c.name != "" {
		c.requestID = "node:" + rand.Text()
	}
	o, err := s.proposeAnywhere(ctx, c)
	if err == nil && c.action == RevokeToken {
		s.catchUp(ctx, o.index) // other changes are found by those who look for them
	}
	return o, err
}

// proposeAnywhere asks one leader after the other. After an attempt that may have succeeded, or may
// still do so, a refusal says nothing: only success does.
func (s *Store) proposeAnywhere(ctx context.Context, c *command) (o outcome, err error) {
	since, err := s.applied()
	if err != nil {
		return outcome{}, err
	}
	var doubt error
	err = s.atLeader(ctx, func(ctx context.Context, leader string) error {
		o = s.attempt(ctx, leader, c)
		switch {
		case errors.Is(o.err, ErrUncertain), o.judged && errors.Is(o.err, ErrFailed):
			// A leader that cannot write its state does not go on; the entry is in the log.
			c.since, doubt = since, o.err
			return fmt.Errorf("%w: %w", ErrNotLeader, o.err)
		case o.err != nil && doubt != nil && !errors.Is(o.err, ErrNotLeader):
			return &told{ErrUncertain, fmt.Sprintf("%v; node %s refused it after that: %v", doubt, leader, o.err)}
		}
		return o.err
	})
	if doubt != nil && errors.Is(err, ErrNotLeader) {
		err = &told{ErrUncertain, fmt.Sprintf("%v: %v", ErrUncertain, doubt)}
	}
	return o, err
}

// atLeader calls do with who leads, until its error is not ErrNotLeader.
func (s *Store) atLeader(ctx context.Context, do func(ctx context.Context, leader string) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := fmt.Errorf("%w is known to node %s", ErrNotLeader, s.config.NodeID)
		if leader := s.Leader(); leader != "" {
			err = do(ctx, leader)
		}
		if !errors.Is(err, ErrNotLeader) {
			return err
		}
		select {
		case <-ctx.Done():
			if s.life.Err() != nil {
				return ErrClosed
			}
			return err
		case <-time.After(pause):
		}
	}
}

// attempt has one node commit a command.
func (s *Store) attempt(ctx context.Context, leader string, c *command) outcome {
	if leader == s.config.NodeID {
		return s.commit(ctx, c)
	}
	c.time = s.config.Now() // which the leader replaces
	entry, err := c.entry()
	if err != nil {
		return outcome{err: err}
	}
	return s.ask(ctx, leader, request{question: askCommit, command: entry})
}

// ask asks another node.
func (s *Store) ask(ctx context.Context, node string, q request) outcome {
	q.term = s.raft.CurrentTerm()
	b, err := s.config.Cluster.Forward(ctx, node, q.encode())
	switch {
	case errors.Is(err, ErrNotLeader):
		return outcome{err: fmt.Errorf("node %s: %w", node, err)}
	case err != nil:
		return outcome{err: fmt.Errorf("%w: node %s did not answer: %w", ErrUncertain, node, err)}
	}
	o, err := decodeAnswer(b)
	if err != nil {
		return outcome{err: fmt.Errorf("%w: the answer of node %s: %w", ErrUncertain, node, err)}
	}
	if !o.judged && (errors.Is(o.err, ErrFailed) || errors.Is(o.err, ErrClosed)) { // that is the other node
		o.err = &told{ErrNotLeader, o.err.Error()}
	}
	return o
}

// commit puts a command into the log of this node, which must lead. The command's time is set here.
func (s *Store) commit(ctx context.Context, c *command) (o outcome) {
	c.time = s.config.Now()
	if err := s.jumps.check(c.time); err != nil {
		return outcome{err: err}
	}
	entry, err := c.entry()
	if err != nil {
		return outcome{err: err}
	}
	if err := s.pace.take(c.principal.Tenant, len(c.text)); err != nil {
		return outcome{err: err}
	}
	answer := make(chan outcome, 1)
	err = s.await(ctx, func() error {
		f := s.raft.Apply(entry, enqueueTimeout)
		if err := f.Error(); err != nil {
			return err
		}
		o := f.Response().(outcome) // fsm returns nothing else
		o.index = f.Index()
		if s.news != nil {
			s.news.Committed(o.index)
		}
		answer <- o
		return nil
	})
	if err != nil {
		return outcome{err: s.uncertain(ctx, err)}
	}
	o = <-answer
	o.judged = true
	return o
}

// catchUp waits a little for an entry that this node may know of later than the leader.
func (s *Store) catchUp(ctx context.Context, index uint64) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	_ = s.reach(ctx, index) // the change is made, whether it is here or not
}

// entry encodes the command. What a node could not read again would end applying for good, on
// all of them: it is refused.
func (c *command) entry() ([]byte, error) {
	b := c.encode()
	if _, err := decodeCommand(b); err != nil {
		return nil, fmt.Errorf("%w: the log cannot have this change: %w", ErrInvalid, err)
	}
	if !wire.HasTime(c.time) {
		return nil, fmt.Errorf("%w: the log cannot have the time %v", ErrClock, c.time)
	}
	return b, nil
}

// uncertain tells proposals that were not made from those that may have been.
func (s *Store) uncertain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrUncertain, context.Cause(ctx))
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return s.raftError(err)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: the log took nothing for %v; nothing was changed", ErrLimited, enqueueTimeout)
	}
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

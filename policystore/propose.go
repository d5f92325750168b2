package policystore

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// propose puts a command into the log and returns what applying it came to. The command's
// time is set here.
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
	c.time = s.config.Now()
	if err := s.jumps.check(c.time); err != nil {
		return outcome{}, err
	}
	entry, err := c.entry()
	if err != nil {
		return outcome{}, err
	}
	if err := s.pace.take(c.principal.Tenant, len(c.text)); err != nil {
		return outcome{}, err
	}
	answer := make(chan any, 1)
	err = s.await(ctx, func() error {
		f := s.raft.Apply(entry, enqueueTimeout)
		if err := f.Error(); err != nil {
			return err
		}
		answer <- f.Response()
		return nil
	})
	if err != nil {
		return outcome{}, s.uncertain(ctx, err)
	}
	o := (<-answer).(outcome) // fsm returns nothing else
	return o, o.err
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
		return fmt.Errorf("%w: %w", ErrUncertain, ctx.Err())
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return s.raftError(err)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: the log took nothing for %v; nothing was changed", ErrLimited, enqueueTimeout)
	}
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

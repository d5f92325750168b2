package policystore

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
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
	answer := make(chan any, 1)
	err := s.await(ctx, func() error {
		f := s.raft.Apply(c.encode(), enqueueTimeout)
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

package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/readindex"
)

// Fence returns when this node knows all that was agreed before the call.
func (g *Group) Fence(ctx context.Context) error {
	var index uint64
	err := g.atLeader(ctx, func(ctx context.Context) (err error) {
		index, err = g.readIndex(ctx, readindex.Voice{})
		return err
	}, request{Index: true}, func(a answer) { index = a.Index })
	if errors.Is(err, ErrUncertain) {
		return fmt.Errorf("%w: %w", ErrNoLeader, err) // reading does nothing that could be uncertain
	}
	if err != nil {
		return err
	}
	return g.reach(ctx, index)
}

// readIndex is of the last command that anybody can know of; this node must lead. It may not have
// applied that itself: others can be ahead of it. by is another node that has a say in whether it
// leads.
func (g *Group) readIndex(ctx context.Context, by readindex.Voice) (uint64, error) {
	if err := g.stillLeads(ctx, by); err != nil {
		return 0, err
	}
	index, err := readindex.Committed(g.log, g.raft.CommitIndex(), g.state.at())
	if err != nil { // it may have been applied and dropped meanwhile: whoever asks asks again
		return 0, fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return index, nil
}

// stillLeads is nil if this node leads, knows all that earlier leaders agreed on, and no later one was
// elected before the call.
func (g *Group) stillLeads(ctx context.Context, by readindex.Voice) error {
	term := g.leases.leads()
	if term == 0 || term != g.raft.CurrentTerm() || g.raft.State() != raft.Leader {
		return fmt.Errorf("%w: node %s does not lead, or not yet", ErrNoLeader, g.config.Node)
	}
	if err := g.applies(); err != nil {
		return err
	}
	f := g.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	err := readindex.Poll{
		Self: g.config.Node, Term: term, Voters: readindex.Voters(f.Configuration()), By: by, Timeout: g.config.Timeout,
		Ask: func(ctx context.Context, node string) (uint64, error) {
			a, err := g.ask(ctx, node, request{Poll: true})
			return a.Term, errors.Join(err, a.err())
		},
	}.Confirm(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return nil
}

// reach waits until a command is applied here.
func (g *Group) reach(ctx context.Context, index uint64) error {
	for {
		g.mu.Lock()
		more := g.applied
		g.mu.Unlock()
		if g.state.at() >= index {
			return nil
		}
		if err := g.state.failed(); err != nil {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%w: entry %d is not here yet: %w", ErrNoLeader, index, context.Cause(ctx))
		case <-g.life.Done():
			return ErrClosed
		}
	}
}

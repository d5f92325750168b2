package policystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// Member is a node of the Raft group.
type Member struct {
	Node string
	// Voter is whether it counts for what is agreed. One that does not gets all entries, too.
	Voter bool
}

// Leader is the id of who leads as far as this node knows, or "".
func (s *Store) Leader() string {
	_, id := s.raft.LeaderWithID()
	return string(id)
}

// Leads reports whether this node leads and is ready to: the one on which [Store.AddNonvoter],
// [Store.AddVoter], [Store.Remove] and [Store.HandOver] work.
func (s *Store) Leads() bool {
	term, _, err := s.lead.get()
	return term != 0 && err == nil
}

// Members are the nodes of the group as this node knows them, by id.
func (s *Store) Members() ([]Member, error) {
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, fmt.Errorf("members of the policies' group: %w", s.raftError(err))
	}
	var all []Member
	for _, server := range f.Configuration().Servers {
		all = append(all, Member{Node: string(server.ID), Voter: server.Suffrage == raft.Voter})
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.Node, b.Node) })
	return all, nil
}

// AddNonvoter has the group send its entries to one more node; a member stays what it is. Only the
// leader can: other nodes answer ErrNotLeader. With ErrUncertain it may have been done; doing it
// again does no harm. So for the methods below.
func (s *Store) AddNonvoter(ctx context.Context, node string) error {
	return s.membership(ctx, "add "+node, func() raft.Future {
		return s.raft.AddNonvoter(raft.ServerID(node), raft.ServerAddress(node), 0, enqueueTimeout)
	})
}

// AddVoter makes a node a voter. One that lags holds up what is to be agreed: see [Store.Lag].
func (s *Store) AddVoter(ctx context.Context, node string) error {
	return s.membership(ctx, "make a voter of "+node, func() raft.Future {
		return s.raft.AddVoter(raft.ServerID(node), raft.ServerAddress(node), 0, enqueueTimeout)
	})
}

// Remove ends a node's part in the group. Whether those that stay can agree on anything is the
// caller's affair; the last voter cannot be removed.
func (s *Store) Remove(ctx context.Context, node string) error {
	return s.membership(ctx, "remove "+node, func() raft.Future {
		return s.raft.RemoveServer(raft.ServerID(node), 0, enqueueTimeout)
	})
}

// HandOver has another voter lead, one that has all entries.
func (s *Store) HandOver(ctx context.Context) error {
	return s.membership(ctx, "hand over", func() raft.Future { return s.raft.LeadershipTransfer() })
}

func (s *Store) membership(ctx context.Context, what string, change func() raft.Future) error {
	err := s.await(ctx, func() error { return change().Error() })
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, errors.Is(err, raft.ErrLeadershipLost):
		err = fmt.Errorf("%w: %w", ErrUncertain, err)
	default:
		err = s.raftError(err)
	}
	return fmt.Errorf("the policies' group: %s: %w", what, err)
}

// Lag asks a member how many entries that this node has applied it has not: at the leader, how far
// the member is from being a voter that holds nobody up.
func (s *Store) Lag(ctx context.Context, node string) (entries uint64, err error) {
	if err := s.join(); err != nil {
		return 0, err
	}
	defer s.calls.Done()
	own, err := s.applied()
	if err != nil || node == s.config.NodeID || s.config.Cluster == nil {
		return 0, err
	}
	o := s.ask(ctx, node, request{question: askApplied})
	if o.err != nil {
		return 0, fmt.Errorf("how far node %s is with the policies: %w", node, o.err)
	}
	return own - min(own, o.index), nil
}

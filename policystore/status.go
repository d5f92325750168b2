package policystore

import (
	"context"
	"fmt"
)

// Status is how a node stands.
type Status struct {
	NodeID string
	// Leads is whether this node leads and is ready; Leader is the leader's id, "" when it
	// is not known.
	Leads  bool
	Leader string
	// Applied is the index of the last change in this node's state, and Digest is of that
	// state.
	Applied uint64
	Digest  Digest
	// Counts of what is kept. Policies includes deleted ones; TextBytes counts equal
	// texts of a tenant once.
	Policies, Versions, TextBytes, Tokens, AuditRecords uint64
	// Compacted is the index up to which watchers can no longer look back.
	Compacted uint64
}

// Status returns what this node knows, which may be stale.
func (s *Store) Status(ctx context.Context) (st Status, err error) {
	err = s.read(ctx, Stale, func(t *transaction) error {
		h := &t.head
		st = Status{
			Applied: h.applied, Digest: t.digest(), Policies: h.counts.policies, Versions: h.counts.versions, TextBytes: h.counts.textBytes,
			Tokens: h.counts.tokens, AuditRecords: h.audit, Compacted: h.compacted,
		}
		return nil
	})
	if err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	term, _, _ := s.lead.get()
	_, leader := s.raft.LeaderWithID()
	st.NodeID, st.Leads, st.Leader = s.config.NodeID, term != 0, string(leader)
	return st, nil
}

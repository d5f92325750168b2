package policystore

import (
	"context"
	"fmt"
)

// Answer does for another node what it asked of this one by way of [Cluster.Forward]; from is that
// node's id, for errors. A node is believed who its clients are, as each node is that may put
// entries on the log; whatever else a request says is checked here as it is for a client.
func (s *Store) Answer(ctx context.Context, from string, b []byte) []byte {
	var o outcome
	if err := s.join(); err != nil {
		o.err = fmt.Errorf("%w: node %s is closing", ErrNotLeader, s.config.NodeID)
	} else {
		defer s.calls.Done()
		o = s.answer(ctx, from, b)
	}
	if o.err != nil {
		o.err = fmt.Errorf("node %s, asked by %.64s: %w", s.config.NodeID, from, o.err)
	}
	return answerWith(o).encode()
}

func (s *Store) answer(ctx context.Context, from string, b []byte) (o outcome) {
	q, err := decodeRequest(b)
	if err != nil {
		return outcome{err: fmt.Errorf("%w: the request: %w", ErrInvalid, err)}
	}
	switch q.question {
	case askCommit:
		return s.answerCommit(ctx, q.command)
	case askTerm:
		o.term = s.raft.CurrentTerm()
	case askIndex:
		o.index, o.err = s.readIndex(ctx, voice{Node: from, Term: q.term})
	case askApplied:
		o.index, o.err = s.applied()
	}
	return o
}

// answerCommit checks a command as if the client were here, and commits it.
func (s *Store) answerCommit(ctx context.Context, b []byte) outcome {
	c, err := decodeCommand(b)
	if err != nil {
		return outcome{err: fmt.Errorf("%w: the change: %w", ErrInvalid, err)}
	}
	if !s.Leads() { // or what it knows may be old
		return outcome{err: fmt.Errorf("%w: node %s does not lead, or not yet", ErrNotLeader, s.config.NodeID)}
	}
	if c.action == FirstToken {
		return outcome{err: fmt.Errorf("%w: the first token is made by who leads", ErrInvalid)}
	}
	c.token.info = c.token.info.asked()
	if err := s.vet(ctx, c, Stale); err != nil {
		return outcome{err: err}
	}
	return s.commit(ctx, c)
}

// asked leaves out what a request for a token does not say.
func (i TokenInfo) asked() TokenInfo {
	return TokenInfo{ID: i.ID, Name: i.Name, Role: i.Role, Tenant: i.Tenant, Expires: i.Expires}
}

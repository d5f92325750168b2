package policystore

import (
	"context"
	"fmt"
)

// Answer does for another node what it asked of this one by way of [Cluster.Forward]; from is that
// node's id. What a request says is checked here as it is for a client, and of who the client is as
// much as can be known here: see vouched.
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
		return s.answerCommit(ctx, from, q.command)
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
func (s *Store) answerCommit(ctx context.Context, from string, b []byte) outcome {
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
	if err := s.vouched(ctx, from, c.principal); err != nil {
		return outcome{err: err}
	}
	c.token.info, c.from = c.token.info.asked(), from
	if err := s.vet(ctx, c, Stale); err != nil {
		return outcome{err: err}
	}
	return s.commit(ctx, c)
}

// vouched tells why a node is not believed who its client is. Whoever came with a token is called as
// the token is, and what that permits is judged when the change is applied; that the client had the
// token's secret is the node's word.
func (s *Store) vouched(ctx context.Context, from string, p Principal) error {
	if p.TokenID == "" {
		if err := s.config.Cluster.Vouch(from, p.Name); err != nil {
			return fmt.Errorf("%w: the client, as %q: %w", ErrDenied, p.Name, err)
		}
		return nil
	}
	t, _, err := s.validToken(ctx, p.TokenID)
	if err == nil && t.info.ID != "" && t.info.Name != p.Name { // one that there is not is refused when that is applied
		err = fmt.Errorf("%w: the client is %q, and token %.40s is of another name", ErrDenied, p.Name, p.TokenID)
	}
	return err
}

// asked leaves out what a request for a token does not say.
func (i TokenInfo) asked() TokenInfo {
	return TokenInfo{ID: i.ID, Name: i.Name, Role: i.Role, Tenant: i.Tenant, Expires: i.Expires}
}

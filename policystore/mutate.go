package policystore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"
)

// Put stores a document as a policy's newest version. The principal must be a policy-admin
// whose tenant covers the name. Errors: ErrInvalid for the request or the document,
// ErrDenied, ErrConflict when Expect does not hold, ErrLimited, and those of every change:
// ErrNotLeader, ErrUncertain, ErrFailed, ErrClock, ErrClosed.
//
// In a cluster any node takes changes and has the leader make them. It asks again, for ten seconds at
// most, while it is not known what came of one, and makes nothing twice; then it is ErrUncertain.
func (s *Store) Put(ctx context.Context, p Principal, r PutRequest) (Version, error) {
	c := &command{action: PutPolicy, principal: p, name: r.Name, text: r.Text, comment: r.Comment, requestID: r.RequestID, source: r.Source}
	c.expects(r.Expect)
	v, err := s.change(ctx, "put policy "+r.Name, c)
	if err == nil {
		v.Text = bytes.Clone(r.Text)
	}
	return v, err
}

// Delete makes a version without text, after which the policy is ErrNotFound until it is put or
// rolled back. Its versions stay. Errors are those of [Store.Put].
func (s *Store) Delete(ctx context.Context, p Principal, r DeleteRequest) (Version, error) {
	c := &command{action: DeletePolicy, principal: p, name: r.Name, comment: r.Comment, requestID: r.RequestID}
	c.expects(r.Expect)
	return s.change(ctx, "delete policy "+r.Name, c)
}

// Rollback makes a new version with an old one's text, which must still be valid. Errors are
// those of [Store.Put], and ErrNotFound when there is no such version.
func (s *Store) Rollback(ctx context.Context, p Principal, r RollbackRequest) (Version, error) {
	c := &command{action: RollbackPolicy, principal: p, name: r.Name, to: r.To, comment: r.Comment, requestID: r.RequestID}
	c.expects(r.Expect)
	return s.change(ctx, fmt.Sprintf("roll back policy %s to version %d", r.Name, r.To), c)
}

// change proposes a policy's command.
func (s *Store) change(ctx context.Context, what string, c *command) (Version, error) {
	err := s.vet(ctx, c, Linearizable)
	if err != nil {
		return Version{}, fmt.Errorf("%s: %w", what, err)
	}
	o, err := s.propose(ctx, c)
	if err != nil {
		return Version{}, fmt.Errorf("%s: %w", what, err)
	}
	return o.version, nil
}

func (c *command) expects(number *uint64) {
	if number != nil {
		c.hasExpect, c.expect = true, *number
	}
}

// vet checks a request and who makes it before it is proposed: where it is made, and again where it
// is proposed if another node made it. What it reads, it reads so consistently.
func (s *Store) vet(ctx context.Context, c *command, reads Consistency) error {
	switch c.action {
	case CreateToken:
		return s.vetToken(ctx, c)
	case RevokeToken:
		return s.vetRevocation(ctx, c, reads)
	}
	if err := c.admit(); err != nil {
		return err
	}
	text := c.text
	switch c.action {
	case PutPolicy:
		if len(text) == 0 || len(text) > MaxText {
			return fmt.Errorf("%w: the document has %d bytes; it must have 1 to %d", ErrInvalid, len(text), MaxText)
		}
	case RollbackPolicy:
		old, err := s.Get(ctx, c.name, c.to, reads)
		if err != nil {
			return err
		}
		text = old.Text
	}
	if len(text) == 0 {
		return nil
	}
	return s.judge(ctx, c, text)
}

// admit checks the fields of a request for a policy, and who makes it.
func (c *command) admit() error {
	if err := c.principal.check(); err != nil {
		return err
	}
	if err := Name(c.name); err != nil {
		return err
	}
	err := cmp.Or(
		checkText("the comment", c.comment, 0, maxComment),
		checkLine("the request id", c.requestID, 0, maxRequestID),
		checkLine("the source", c.source, 0, maxSource))
	if err != nil {
		return err
	}
	if strings.HasPrefix(c.source, rollbackSource) {
		return fmt.Errorf("%w: a source does not begin with %q", ErrInvalid, rollbackSource)
	}
	return c.principal.require(PolicyAdmin, NameTenant(c.name), c.action.String())
}

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
// ErrNotLeader, ErrUncertain, ErrFailed, ErrClosed.
func (s *Store) Put(ctx context.Context, p Principal, r PutRequest) (Version, error) {
	what := "put policy " + r.Name
	c := &command{action: PutPolicy, name: r.Name, text: r.Text, comment: r.Comment, requestID: r.RequestID, source: r.Source}
	c.expects(r.Expect)
	if err := s.admit(p, c); err != nil {
		return Version{}, fmt.Errorf("%s: %w", what, err)
	}
	if len(r.Text) == 0 || len(r.Text) > MaxText {
		return Version{}, fmt.Errorf("%s: %w: the document has %d bytes; it must have 1 to %d", what, ErrInvalid, len(r.Text), MaxText)
	}
	if err := s.judge(ctx, r.Name, r.Text); err != nil {
		return Version{}, fmt.Errorf("%s: %w", what, err)
	}
	return s.change(ctx, what, c)
}

// Delete makes a version without text, after which the policy is ErrNotFound until it is put or
// rolled back. Its versions stay. Errors are those of [Store.Put].
func (s *Store) Delete(ctx context.Context, p Principal, r DeleteRequest) (Version, error) {
	what := "delete policy " + r.Name
	c := &command{action: DeletePolicy, name: r.Name, comment: r.Comment, requestID: r.RequestID}
	c.expects(r.Expect)
	if err := s.admit(p, c); err != nil {
		return Version{}, fmt.Errorf("%s: %w", what, err)
	}
	return s.change(ctx, what, c)
}

// Rollback makes a new version with an old one's text, which must still be valid. Errors are
// those of [Store.Put], and ErrNotFound when there is no such version.
func (s *Store) Rollback(ctx context.Context, p Principal, r RollbackRequest) (Version, error) {
	what := fmt.Sprintf("roll back policy %s to version %d", r.Name, r.To)
	c := &command{action: RollbackPolicy, name: r.Name, to: r.To, comment: r.Comment, requestID: r.RequestID}
	c.expects(r.Expect)
	if err := s.admit(p, c); err != nil {
		return Version{}, fmt.Errorf("%s: %w", what, err)
	}
	old, err := s.Get(ctx, r.Name, r.To, Linearizable)
	if err != nil {
		return Version{}, fmt.Errorf("%s: %w", what, err)
	}
	if !old.Deleted {
		if err := s.judge(ctx, r.Name, old.Text); err != nil {
			return Version{}, fmt.Errorf("%s: %w", what, err)
		}
	}
	return s.change(ctx, what, c)
}

func (c *command) expects(number *uint64) {
	if number != nil {
		c.hasExpect, c.expect = true, *number
	}
}

// admit checks a request for a policy and who makes it, before anything is read or
// proposed.
func (s *Store) admit(p Principal, c *command) error {
	if err := p.check(); err != nil {
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
	c.principal = p
	return p.require(PolicyAdmin, NameTenant(c.name), c.action.String())
}

// change proposes a policy's command.
func (s *Store) change(ctx context.Context, what string, c *command) (Version, error) {
	o, err := s.propose(ctx, c)
	if err != nil {
		return Version{}, fmt.Errorf("%s: %w", what, err)
	}
	if c.action == PutPolicy {
		o.version.Text = bytes.Clone(c.text)
	}
	return o.version, nil
}

package policystore

import (
	"context"
	"fmt"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// ValidateDocuments returns a [Config.Validate] that takes policy documents all of whose
// sandboxes compile with o. What it finds wrong is document.Problems. Whoever can tell which
// scopes of grants are right gives o.Grant: a document that is stored and that no cell can
// take leaves cells with what they had.
func ValidateDocuments(o document.Options) func(name string, text []byte) error {
	return func(name string, text []byte) error {
		d, err := document.Parse(name, text)
		if err != nil {
			return err
		}
		return d.Check(o)
	}
}

// maxJudging is how many documents are validated at once: the most expensive ones take a
// processor for a second and tens of MiB each.
const maxJudging = 2

// judge validates a document, after those that came before it, or until ctx ends.
func (s *Store) judge(ctx context.Context, name string, text []byte) error {
	select {
	case s.judging <- struct{}{}:
		defer func() { <-s.judging }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the validation of other documents: %w", ctx.Err())
	case <-s.life.Done():
		return ErrClosed
	}
	if err := s.config.Validate(name, text); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

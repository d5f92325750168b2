package policystore

import (
	"cmp"
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

// judge validates the text that a command would store when it is the turn of whoever asks, or fails
// when ctx ends before that.
func (s *Store) judge(ctx context.Context, c *command, text []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	done, err := s.judging.Wait(ctx, c.holders()...)
	switch {
	case err != nil && s.life.Err() != nil:
		return ErrClosed
	case err != nil:
		return fmt.Errorf("wait for the validation of other documents: %w", err)
	}
	defer done()
	if err := s.config.Validate(c.name, text); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// holders are whose turn it has to be, the innermost first: a tenant has one, and whoever has no
// tenant; a node chooses who its clients are, and has one for all of them.
func (c *command) holders() []string {
	who := "principal " + cmp.Or(c.principal.TokenID, c.principal.Name)
	if c.principal.Tenant != "" {
		who = "tenant " + c.principal.Tenant
	}
	if c.from == "" {
		return []string{who}
	}
	node := "node " + c.from
	return []string{who + " at " + node, node}
}

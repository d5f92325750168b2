package document

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/cell"
)

// Apply puts the sandbox into the specification of a cell that is about to be started: its
// imports, limits and policy replace those there; its backend and placement, where it has
// them. A specification that already asks for a stronger boundary keeps it. Then the
// plug-ins enforce their keys; an error of one means that the cell must not start.
//
// Grants and the dialect are not part of a specification: the first are for a broker's
// session, the second for each program.
func (c *Compiled) Apply(s *cell.Spec) error {
	s.Imports = slices.Clone(c.Imports)
	s.Limits = c.Limits
	p := c.Policy
	s.Policy = &p
	s.NUMA = cmp.Or(c.NUMA, s.NUMA)
	if Stronger(c.Backend, s.Backend) {
		s.Backend = c.Backend
	}
	for _, name := range sortedKeys(c.Extra) {
		if err := c.keys.named(name).Enforce(c.Extra[name], s); err != nil {
			return fmt.Errorf("document: sandbox %s of %s: enforce %s%s: %w", c.Sandbox, c.File, extraPrefix, name, err)
		}
	}
	return nil
}

// Stronger tells whether the boundary of a is stronger than that of b. "" is any, and so as
// weak as the weakest.
func Stronger(a, b cell.Backend) bool { return a == cell.Process && b != cell.Process }

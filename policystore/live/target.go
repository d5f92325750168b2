package live

import (
	"context"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// A Target is a running cell with a policy.
type Target interface {
	// Apply puts a revision in force, all of it or nothing. It is not called again before it
	// has returned; ctx ends when the target is followed no more. An error that is
	// cell.CellGone ends that, too; after cell.Busy and cell.Timeout it is called again.
	Apply(ctx context.Context, r Revision) (cell.Reloaded, error)
}

// A Begun target has a revision in force already: it gets what differs from that.
type Begun interface {
	Began() Revision
}

// A Bounded target knows its cell's backend, and so whether a policy accepts it.
type Bounded interface {
	Backend() cell.Backend
}

// A Named target is a cell of a tenant.
type Named interface {
	Subject() (tenant, cell string)
}

// Revision is a version of a policy, for one sandbox and with the addresses of the moment.
type Revision struct {
	Policy   string
	Version  uint64
	Compiled *document.Compiled
}

// same reports whether one is the other, by what it means.
func (r Revision) same(o Revision) bool {
	return r.Version == o.Version && r.Compiled != nil && o.Compiled != nil && r.Compiled.Hash == o.Compiled.Hash
}

// Of is what a running cell takes of a compiled policy: all but its backend and place, which it
// has, and its grants, which are its session's. Plug-ins enforce their keys on a copy of spec,
// the cell's; an error of one means that the policy must not take effect.
func Of(spec cell.Spec, c *document.Compiled) (cell.Revision, error) {
	if err := c.Apply(&spec); err != nil {
		return cell.Revision{}, err
	}
	if spec.Imports == nil {
		spec.Imports = []string{} // none; nil would leave them as they are
	}
	return cell.Revision{Policy: *spec.Policy, Imports: spec.Imports, Limits: &spec.Limits}, nil
}

// Cell is a Target that is a cell and nothing else: what the policy grants is nobody's.
type Cell struct{ cell.Cell }

var (
	_ Target  = Cell{}
	_ Bounded = Cell{}
	_ Named   = Cell{}
)

// Apply reloads the cell.
func (c Cell) Apply(ctx context.Context, r Revision) (cell.Reloaded, error) {
	revision, err := Of(c.Spec(), r.Compiled)
	if err != nil {
		return cell.Reloaded{}, err
	}
	return c.Reload(ctx, revision)
}

// Subject is the cell's.
func (c Cell) Subject() (tenant, cell string) { return c.Spec().Tenant, c.Spec().Name }

// Backend is the cell's.
func (c Cell) Backend() cell.Backend { return c.Spec().Backend }

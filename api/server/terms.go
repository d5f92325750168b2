package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// policyRef is what a cell was spawned under. Version 0 follows the newest; without a name it
// is no stored policy.
type policyRef struct {
	name, sandbox string
	version       uint64
}

func (r policyRef) String() string { return cmp.Or(r.name, "of its own") }

// terms are what each incarnation of a cell is confined by: a policy, narrowed.
type terms struct {
	ref     policyRef
	own     *document.Compiled // of a document of its own; nil: ref names a stored one
	imports []string           // of the policy's only these; nil: all
	limits  cell.Limits        // where lower than the policy's
	backend cell.Backend       // "": the policy's, or the node's
	floor   cell.Backend       // at least this one, whatever policy and node say
	// weaken says that whoever spawned it may choose a weaker boundary than the node's.
	weaken bool
}

// termsOf reads what is asked for. Who asks may have it.
func (s *cells) termsOf(ctx context.Context, tenant string, r *pb.SpawnRequest) (t terms, err error) {
	t = terms{imports: r.GetAllowedImports(), backend: cell.Backend(r.GetBackend()), weaken: principalOf(ctx).Role >= policystore.PolicyAdmin}
	if t.limits, err = limitsOf(r.GetLimits()); err != nil {
		return t, err
	}
	if len(t.imports) > 1024 {
		return t, cell.Errorf(cell.Invalid, "allowed_imports has %d names; 1024 is the most", len(t.imports))
	}
	switch p := r.GetPolicy(); {
	case p != nil && r.GetDocument() != "":
		return t, cell.Errorf(cell.Invalid, "give a policy or a document, and not both")
	case p != nil:
		t.ref = policyRef{p.GetName(), p.GetSandbox(), p.GetVersion()}
		return t, mayConfine(ctx, tenant, t.ref.name)
	case r.GetDocument() != "":
		if p := principalOf(ctx); p.Role < policystore.PolicyAdmin {
			return t, fmt.Errorf("%w: a document of a cell's own needs the role %s; %s is %s", policystore.ErrDenied, policystore.PolicyAdmin, p.Name, p.Role)
		}
		t.own, err = s.compileOwn(ctx, r.GetDocument())
		return t, err
	}
	return s.computing(ctx, t)
}

// standard is what cells without a policy may do; compiled once.
var standard = sync.OnceValues(func() (*document.Compiled, error) { return computingOnly(cell.ComputingImports()) })

func computingOnly(imports []string) (*document.Compiled, error) {
	d, err := document.Parse("none", []byte("version: \"1.0\"\nsandboxes:\n  cell:\n    imports: ["+strings.Join(imports, ", ")+"]\n"))
	if err != nil {
		return nil, err
	}
	return d.Compile("", document.Options{})
}

// computing is a cell that no policy is for: it computes. More modules than those that reach
// nothing are for who could write a document that permits them.
func (s *cells) computing(ctx context.Context, t terms) (terms, error) {
	own, err := standard()
	if err != nil || len(t.imports) == 0 {
		t.own = own
		return t, err
	}
	p := principalOf(ctx)
	for _, name := range t.imports {
		if err := (&cell.Spec{Imports: []string{name}}).Validate(); err != nil {
			return t, err
		}
		if p.Role < policystore.PolicyAdmin && !own.Explain(document.Query{Import: name}).Allowed {
			return t, fmt.Errorf("%w: module %s does more than compute: without a policy it needs the role %s; %s is %s",
				policystore.ErrDenied, name, policystore.PolicyAdmin, p.Name, p.Role)
		}
	}
	t.own, err = computingOnly(t.imports)
	t.imports = nil
	var wrong document.Problems
	switch {
	case errors.As(err, &wrong): // with places in a text that the caller has not written
		err = cell.Errorf(cell.Invalid, "allowed_imports: %s", strings.TrimSuffix(wrong[0].Message+"; "+wrong[0].Hint, "; "))
	case err != nil:
		err = cell.Errorf(cell.Invalid, "allowed_imports: %v", err)
	}
	return t, err
}

// mayConfine permits a cell the policies of its tenant and those that are shared.
func mayConfine(ctx context.Context, tenant, name string) error {
	if err := mayRead(ctx, name); err != nil {
		return err
	}
	if of := policystore.NameTenant(name); of != "" && of != tenant {
		return fmt.Errorf("%w: policy %s is of tenant %s, the cell of tenant %s", policystore.ErrDenied, name, of, tenant)
	}
	return nil
}

// revision is what the terms mean now; it may take a turn of the holder's.
func (s *cells) revision(ctx context.Context, holder string, t terms) (live.Revision, error) {
	if t.own != nil {
		return live.Revision{Compiled: t.own}, nil
	}
	v, err := s.store.Get(ctx, t.ref.name, t.ref.version, policystore.Linearizable)
	if err != nil {
		return live.Revision{}, err
	}
	if v.Deleted {
		return live.Revision{}, fmt.Errorf("%w: version %d of policy %s is a deletion", policystore.ErrNotFound, v.Number, v.Name)
	}
	compiled, err := s.meaning(ctx, holder, compiledKey{v.Name, t.ref.sandbox, v.Hash}, v.Text, t.ref.version != 0)
	return live.Revision{Policy: v.Name, Version: v.Number, Compiled: compiled}, err
}

// compileOwn compiles a client's document.
func (s *cells) compileOwn(ctx context.Context, text string) (*document.Compiled, error) {
	if err := tooLong(text); err != nil {
		return nil, err
	}
	return s.meaning(ctx, holderOf(ctx), compiledKey{"document", "", sha256.Sum256([]byte(text))}, []byte(text), true)
}

// compileText compiles a sandbox of a document, or says in the store's words what is wrong.
func compileText(name string, text []byte, sandbox string, o document.Options) (*document.Compiled, error) {
	parsed, err := document.Parse(name, text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", policystore.ErrInvalid, err)
	}
	compiled, err := parsed.Compile(sandbox, o)
	var problems document.Problems
	switch {
	case errors.As(err, &problems):
		err = fmt.Errorf("%w: %w", policystore.ErrInvalid, err)
	case err != nil: // no such sandbox
		err = fmt.Errorf("%w: %w", policystore.ErrNotFound, err)
	}
	return compiled, err
}

// lookUp finds the addresses of host names for a cell that keeps to one version. A name
// without any gives no rule.
func lookUp(ctx context.Context, names []string) map[string][]netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	found := map[string][]netip.Addr{}
	for _, name := range names {
		if addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name); err == nil {
			found[name] = addresses
		}
	}
	return found
}

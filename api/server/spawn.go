package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// Spawn implements the call.
func (s *cells) Spawn(ctx context.Context, r *connect.Request[pb.SpawnRequest]) (*connect.Response[pb.SpawnResponse], error) {
	k, err := keyOf(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	if k.name == "" {
		k.name = madeUp()
	}
	if err := cell.ValidName("cell", k.name); err != nil {
		return nil, err
	}
	ref := policyRef{r.Msg.GetPolicy().GetName(), r.Msg.GetPolicy().GetSandbox(), r.Msg.GetPolicy().GetVersion()}
	if err := mayConfine(ctx, k.tenant, ref.name); err != nil {
		return nil, err
	}
	started, err := s.spawn(ctx, k, ref, cell.Backend(r.Msg.GetBackend()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.SpawnResponse{Cell: &pb.CellRef{Tenant: k.tenant, Name: k.name}, Report: started.report(ctx)}), nil
}

// mayConfine permits a cell the policies of its tenant and those that are shared.
func mayConfine(ctx context.Context, tenant, name string) error {
	if of := policystore.NameTenant(name); of != "" && of != tenant {
		return fmt.Errorf("%w: policy %s is of tenant %s, the cell of tenant %s", policystore.ErrDenied, name, of, tenant)
	}
	return mayRead(ctx, name)
}

func (s *cells) spawn(ctx context.Context, k cellKey, ref policyRef, backend cell.Backend) (*resident, error) {
	revision, err := s.compile(ctx, ref)
	if err != nil {
		return nil, err
	}
	if backend != "" && document.Stronger(revision.Compiled.Backend, backend) {
		return nil, cell.Errorf(cell.PolicyDenied, "backend %s: policy %s wants at least %s", backend, ref.name, revision.Compiled.Backend)
	}
	if err := s.registry.reserve(k); err != nil {
		return nil, err
	}
	settled := false
	defer func() { // also when something panics
		if !settled {
			s.registry.withdraw(k)
		}
	}()
	r, err := s.start(ctx, k, ref, cmp.Or(backend, s.backend), revision)
	if err != nil {
		return nil, err
	}
	if err := s.registry.settle(r); err != nil {
		r.cell.Kill("its node ends")
		r.end()
		return nil, err
	}
	settled = true
	return r, nil
}

// start makes the cell and what belongs to it, or nothing.
func (s *cells) start(ctx context.Context, k cellKey, ref policyRef, backend cell.Backend, first live.Revision) (*resident, error) {
	spec := cell.Spec{Tenant: k.tenant, Name: k.name, Backend: backend}
	if err := first.Compiled.Apply(&spec); err != nil {
		return nil, err
	}
	session, err := s.broker.Open(capability.Identity{Tenant: k.tenant, Cell: k.name},
		capability.Policy{Version: first.Version, Grants: first.Compiled.Grants})
	if err != nil {
		return nil, invalidGrant(ref, err)
	}
	r := &resident{key: k, ref: ref, started: time.Now(), said: newSayings(), session: session, inForce: first}
	started := false
	defer func() {
		if !started {
			session.Close()
		}
	}()
	spec.Sink = r
	if r.cell, err = s.spawner.Spawn(ctx, spec); err != nil {
		return nil, err
	}
	if ref.version == 0 {
		if r.following, err = s.reloader.Follow(ctx, ref.name, ref.sandbox, r); err != nil {
			r.cell.Kill("its policy could not be followed")
			return nil, err
		}
	}
	started = true
	return r, nil
}

// invalidGrant says in the words of the API that this node cannot grant what a policy does.
func invalidGrant(ref policyRef, err error) error {
	var e *capability.Error
	if errors.As(err, &e) && e.Kind == capability.Invalid {
		return cell.Errorf(cell.Invalid, "policy %s: %s", ref.name, e.Message)
	}
	return cell.Errorf(cell.Invalid, "policy %s: %v", ref.name, err)
}

// compile reads a version and makes of a sandbox what cells understand.
func (s *cells) compile(ctx context.Context, ref policyRef) (live.Revision, error) {
	v, err := s.store.Get(ctx, ref.name, ref.version, policystore.Linearizable)
	if err != nil {
		return live.Revision{}, err
	}
	if v.Deleted {
		return live.Revision{}, fmt.Errorf("%w: version %d of policy %s is a deletion", policystore.ErrNotFound, v.Number, v.Name)
	}
	parsed, err := document.Parse(v.Name, v.Text)
	if err != nil {
		return live.Revision{}, fmt.Errorf("%w: %w", policystore.ErrInvalid, err)
	}
	o := document.Options{Keys: s.keys}
	compiled, err := parsed.Compile(ref.sandbox, o)
	if err == nil && ref.version != 0 && len(compiled.Names) > 0 { // nobody will look them up later
		o.Resolve = lookUp(ctx, compiled.Names)
		compiled, err = parsed.Compile(ref.sandbox, o)
	}
	var problems document.Problems
	switch {
	case errors.As(err, &problems):
		err = fmt.Errorf("%w: %w", policystore.ErrInvalid, err)
	case err != nil: // no such sandbox
		err = fmt.Errorf("%w: %w", policystore.ErrNotFound, err)
	}
	return live.Revision{Policy: v.Name, Version: v.Number, Compiled: compiled}, err
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

// madeUp is a name that no cell has.
func madeUp() string {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	return "cell-" + hex.EncodeToString(id[:])
}

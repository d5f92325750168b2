package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// Spawner starts cells: *launch.Launcher.
type Spawner interface {
	Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error)
}

// cells serves CellService.
type cells struct {
	api.UnimplementedCellServiceHandler
	store    *policystore.Store
	spawner  Spawner
	broker   *capability.Broker
	reloader *live.Reloader
	backend  cell.Backend
	keys     *document.Keys
	registry *registry
}

var _ api.CellServiceHandler = (*cells)(nil)

// Exec implements the call.
func (s *cells) Exec(ctx context.Context, r *connect.Request[pb.ExecRequest]) (*connect.Response[pb.ExecResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	dialect, err := found.dialect(r.Msg.GetDialect())
	if err != nil {
		return nil, err
	}
	src := cell.Source{Code: []byte(r.Msg.GetCode()), File: r.Msg.GetFile(), Dialect: dialect, Args: r.Msg.GetArgs()}
	if err := src.Validate(); err != nil {
		return nil, err
	}
	if err := found.cell.Exec(ctx, src); err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ExecResponse{}), nil
}

// dialect is the asked one, if the policy in force has no other.
func (r *resident) dialect(asked string) (cell.Dialect, error) {
	policy := r.Began().Compiled.Dialect
	switch {
	case asked == "":
		return cell.Dialect(policy), nil
	case policy != "" && asked != policy:
		return "", cell.Errorf(cell.PolicyDenied, "dialect %s: policy %s permits %s only", asked, r.ref.name, policy)
	}
	return cell.Dialect(asked), nil
}

// Inspect implements the call.
func (s *cells) Inspect(ctx context.Context, r *connect.Request[pb.InspectRequest]) (*connect.Response[pb.InspectResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.InspectResponse{Report: found.report(ctx)}), nil
}

// List implements the call.
func (s *cells) List(ctx context.Context, r *connect.Request[pb.ListCellsRequest]) (*connect.Response[pb.ListCellsResponse], error) {
	p, tenant := principalOf(ctx), r.Msg.GetTenant()
	if tenant == "" {
		tenant = p.Tenant
	}
	if err := mayUse(p, tenant); err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ListCellsResponse{Reports: reports(ctx, s.registry.list(tenant))}), nil
}

// Kill implements the call.
func (s *cells) Kill(ctx context.Context, r *connect.Request[pb.KillRequest]) (*connect.Response[pb.KillResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	reason := r.Msg.GetReason()
	if len(reason) > 1024 {
		return nil, cell.Errorf(cell.Invalid, "the reason has %d bytes; 1024 is the most", len(reason))
	}
	if reason == "" {
		reason = "killed by " + principalOf(ctx).Name
	}
	found.cell.Kill(reason)
	return connect.NewResponse(&pb.KillResponse{}), nil
}

// named is what says which cell it is about: most requests.
type named interface {
	GetTenant() string
	GetName() string
}

// find returns the cell that the caller means, if it is one of his.
func (s *cells) find(ctx context.Context, ref named) (*resident, error) {
	k, err := keyOf(ctx, ref)
	if err == nil {
		err = cell.ValidName("cell", k.name)
	}
	if err != nil {
		return nil, err
	}
	return s.registry.find(k)
}

// keyOf fills the tenant in and refuses others' than the caller's.
func keyOf(ctx context.Context, ref named) (cellKey, error) {
	p, k := principalOf(ctx), cellKey{ref.GetTenant(), ref.GetName()}
	if k.tenant == "" {
		k.tenant = p.Tenant
	}
	if k.tenant == "" {
		k.tenant = "default"
	}
	if err := cell.ValidName("tenant", k.tenant); err != nil {
		return k, err
	}
	return k, mayUse(p, k.tenant)
}

func mayUse(p policystore.Principal, tenant string) error {
	if tenant == "" || p.Covers(tenant) {
		return nil
	}
	return fmt.Errorf("%w: cells of tenant %s: %s is bound to tenant %s", policystore.ErrDenied, tenant, p.Name, p.Tenant)
}

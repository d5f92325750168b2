package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// Spawner starts cells: *launch.Launcher.
type Spawner interface {
	Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error)
}

// cells serves CellService. What it asks of a cell goes through the cell's actor.
type cells struct {
	api.UnimplementedCellServiceHandler
	logger      *slog.Logger
	store       *policystore.Store
	spawner     Spawner
	counts      func() launch.Stats // of the spawner; nil: nobody counts
	broker      *capability.Broker
	reloader    *live.Reloader
	backend     cell.Backend
	judge       *judge
	observer    *telemetry.Observer
	checkpoints *Checkpoints // nil: it keeps none
	compiled    *compiled
	book        *book
	node        func() string   // the name of this one
	described   func() *pb.Node // of this one that is by itself; nil: it is not described
	fabric      Fabric          // nil: there are no other nodes
	actors      *actors.System
	peers       *peers     // nil: there are none
	transfers   *transfers // nil: there are no other nodes
}

var _ api.CellServiceHandler = (*cells)(nil)

// Inspect implements the call.
func (s *cells) Inspect(ctx context.Context, r *connect.Request[pb.InspectRequest]) (*connect.Response[pb.InspectResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.InspectResponse{Report: s.report(ctx, found)}), nil
}

// List implements the call.
func (s *cells) List(ctx context.Context, r *connect.Request[pb.ListCellsRequest]) (*connect.Response[pb.ListCellsResponse], error) {
	all, err := s.listed(ctx, r.Msg.GetTenant(), r.Msg.GetNode())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ListCellsResponse{Reports: s.reports(ctx, all)}), nil
}

// listed are the cells of this node and a tenant that the caller may see; "" is all that he may. It has none
// where another node's are asked for.
func (s *cells) listed(ctx context.Context, tenant, node string) ([]*entry, error) {
	p := principalOf(ctx)
	if tenant == "" {
		tenant = p.Tenant
	}
	if err := mayUse(p, tenant); err != nil {
		return nil, err
	}
	if err := isNode(s.peers, s.node(), node); err != nil {
		return nil, err
	}
	if node != "" && node != s.node() {
		return nil, nil
	}
	return s.book.list(tenant), nil
}

// Quarantine implements the call.
func (s *cells) Quarantine(ctx context.Context, r *connect.Request[pb.QuarantineRequest]) (*connect.Response[pb.QuarantineResponse], error) {
	reason, err := reasonOf(ctx, "quarantined", r.Msg.GetReason())
	if err != nil {
		return nil, err
	}
	if err := s.tell(ctx, r.Msg, actors.Quarantine{Reason: reason}); err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.QuarantineResponse{}), nil
}

// Kill implements the call.
func (s *cells) Kill(ctx context.Context, r *connect.Request[pb.KillRequest]) (*connect.Response[pb.KillResponse], error) {
	reason, err := reasonOf(ctx, "killed", r.Msg.GetReason())
	if err != nil {
		return nil, err
	}
	if err := s.tell(ctx, r.Msg, actors.Kill{Reason: reason}); err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.KillResponse{}), nil
}

// Close implements the call.
func (s *cells) Close(ctx context.Context, r *connect.Request[pb.CloseRequest]) (*connect.Response[pb.CloseResponse], error) {
	if err := s.tell(ctx, r.Msg, actors.Close{}); err != nil && !isOver(err) {
		return nil, err
	}
	return connect.NewResponse(&pb.CloseResponse{}), nil
}

// tell sends what is answered by nothing.
func (s *cells) tell(ctx context.Context, ref named, b actors.Body) error {
	found, err := s.find(ctx, ref)
	if err != nil {
		return err
	}
	return s.ask(ctx, found, "", 0, b).Err
}

func reasonOf(ctx context.Context, what, given string) (string, error) {
	if len(given) > 1024 {
		return "", cell.Errorf(cell.Invalid, "the reason has %d bytes; 1024 is the most", len(given))
	}
	if given == "" {
		given = what + " by " + principalOf(ctx).Name
	}
	return given, nil
}

// ask sends a body to a cell's actor.
func (s *cells) ask(ctx context.Context, e *entry, requestID string, epoch uint64, b actors.Body) actors.Reply {
	env := actors.Envelope{To: e.key.address(), Life: e.id, Epoch: epoch, Principal: principalOf(ctx).Name, Trace: trace.Parent(ctx), Body: b}
	env.Deadline, _ = ctx.Deadline()
	var err error
	if env.ID, err = requestKey(ctx, e.key, fmt.Sprintf("%T", b), requestID); err != nil {
		return actors.Reply{Err: err}
	}
	return s.actors.Ask(ctx, env)
}

// maxRequestID is how long a client's name for a request may be.
const maxRequestID = 128

// requestKey is what a request is known by when it comes again: from the same client, for the
// same cell, as the same call. It is zero for one that has no id.
func requestKey(ctx context.Context, k cellKey, call, id string) (key actors.ID, err error) {
	switch {
	case id == "":
		return key, nil
	case len(id) > maxRequestID:
		return key, cell.Errorf(cell.Invalid, "the request_id has %d bytes; %d is the most", len(id), maxRequestID)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{holdersOf(principalOf(ctx), "")[0], k.tenant, k.name, call, id}))
	return actors.ID(sum[:len(key)]), nil
}

// named is what says which cell it is about: most requests.
type named interface {
	GetTenant() string
	GetName() string
}

// identified may say more: which of the cells that have or had the name.
type identified interface{ GetId() string }

// find returns the cell that the caller means, if it is one of his. One that he means by its id
// and that has given up its name is gone.
func (s *cells) find(ctx context.Context, ref named) (*entry, error) {
	k, err := keyOf(ctx, ref)
	if err == nil {
		err = cell.ValidName("cell", k.name)
	}
	if err == nil {
		_, err = repeats(ref) // refused by any node, not only by those that would pass it on
	}
	if err != nil {
		return nil, err
	}
	e, err := s.book.find(k)
	if which, ok := ref.(identified); ok && err == nil && which.GetId() != "" && which.GetId() != e.id {
		return nil, &succeededError{cell.Errorf(cell.CellGone, "cell %s of the id %.64q has ended; another has its name now", k, which.GetId())}
	}
	return e, err
}

// keyOf fills the tenant in and refuses others' than the caller's.
func keyOf(ctx context.Context, ref named) (cellKey, error) {
	p, k := principalOf(ctx), cellKey{ref.GetTenant(), ref.GetName()}
	k.tenant = tenantOf(p, k.tenant)
	if err := cell.ValidName("tenant", k.tenant); err != nil {
		return k, err
	}
	return k, mayUse(p, k.tenant)
}

// tenantOf is the one that is meant where none is named.
func tenantOf(p policystore.Principal, named string) string {
	switch {
	case named != "":
		return named
	case p.Tenant != "":
		return p.Tenant
	}
	return "default"
}

func mayUse(p policystore.Principal, tenant string) error {
	if tenant == "" || p.Covers(tenant) {
		return nil
	}
	return fmt.Errorf("%w: cells of tenant %s: %s is bound to tenant %s", policystore.ErrDenied, tenant, p.Name, p.Tenant)
}

package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// nodes serves NodeService.
type nodes struct {
	describe func() *pb.Node // nil: there is nothing to say
	book     *book
	events   *events.Hub
	peers    *peers
}

var _ api.NodeServiceHandler = (*nodes)(nil)

// ListNodes implements the call.
func (s *nodes) ListNodes(ctx context.Context, r *connect.Request[pb.ListNodesRequest]) (*connect.Response[pb.ListNodesResponse], error) {
	node := &pb.Node{}
	if s.describe != nil {
		node = proto.CloneOf(s.describe())
	}
	node.Cells = uint32(s.book.cells())
	node.MaxCells = cmp.Or(node.MaxCells, maxLive)
	return connect.NewResponse(&pb.ListNodesResponse{Nodes: append([]*pb.Node{node}, s.others(ctx, r.Msg)...)}), nil
}

// others are the other nodes of the cluster, those that say nothing of themselves last.
func (s *nodes) others(ctx context.Context, r *pb.ListNodesRequest) (all []*pb.Node) {
	if s.peers == nil || isPassedOn(ctx) {
		return nil
	}
	answers, silent := askAll(ctx, s.peers, func(ctx context.Context, p peerAPI) (*connect.Response[pb.ListNodesResponse], error) {
		return p.nodes.ListNodes(ctx, toPeer(ctx, r))
	})
	for _, one := range answers {
		all = append(all, one.GetNodes()...)
	}
	for _, name := range silent {
		all = append(all, &pb.Node{Id: name, State: "silent"})
	}
	return append(all, s.peers.fabric.Lost()...)
}

// Events implements the call.
func (s *nodes) Events(ctx context.Context, r *connect.Request[pb.EventsRequest], out *connect.ServerStream[pb.EventsResponse]) error {
	tenant, wanted, err := wantedEvents(ctx, r.Msg)
	if err != nil {
		return err
	}
	if err := out.Send(nil); err != nil { // the client's call returns
		return err
	}
	for reader := s.events.Reader(tenant, r.Msg.GetAfter()); ; {
		found, lost, more := reader.Next()
		if lost > 0 {
			if err := out.Send(&pb.EventsResponse{Item: &pb.EventsResponse_Lost{Lost: lost}}); err != nil {
				return err
			}
		}
		for _, one := range found {
			if !wanted(one) {
				continue
			}
			if err := out.Send(&pb.EventsResponse{Item: &pb.EventsResponse_Event{Event: eventTo(one)}}); err != nil {
				return err
			}
		}
		if !r.Msg.GetFollow() {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wantedEvents tells of which tenant the caller hears, "" for all, and which events of it are
// asked for.
func wantedEvents(ctx context.Context, r *pb.EventsRequest) (tenant string, wanted func(events.Event) bool, err error) {
	p := principalOf(ctx)
	if tenant = r.GetTenant(); tenant == "" {
		tenant = p.Tenant
	}
	if err := mayUse(p, tenant); err != nil {
		return "", nil, err
	}
	for _, kind := range r.GetKinds() {
		if !events.Kind(kind).Valid() {
			return "", nil, fmt.Errorf("%w: events of kind %.64q are not known: %v are", policystore.ErrInvalid, kind, events.Kinds())
		}
	}
	return tenant, func(e events.Event) bool {
		if r.GetCell() != "" && e.Cell != r.GetCell() {
			return false
		}
		return len(r.GetKinds()) == 0 || slices.Contains(r.GetKinds(), string(e.Kind))
	}, nil
}

func eventTo(e events.Event) *pb.Event {
	out := &pb.Event{Index: e.Index, Kind: string(e.Kind), At: moment(e.At), Epoch: e.Epoch, Message: text(e.Message),
		Denial: fault.FromDenial(e.Denial), Policy: text(e.Policy), Version: e.Version, Trace: text(e.Trace)}
	if e.Cell != "" {
		out.Cell = &pb.CellRef{Tenant: text(e.Tenant), Name: text(e.Cell)}
	}
	return out
}

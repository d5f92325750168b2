package server

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Events implements the call.
func (s *nodes) Events(ctx context.Context, r *connect.Request[pb.EventsRequest], out *connect.ServerStream[pb.EventsResponse]) error {
	if _, _, err := wantedEvents(ctx, r.Msg); err != nil {
		return err
	}
	tell := s.gather
	if s.peers == nil || isPassedOn(ctx) {
		tell = s.own
	}
	if err := s.isNode(r.Msg.GetNode()); err != nil {
		return err
	}
	if err := out.Send(nil); err != nil { // the client's call returns
		return err
	}
	return tell(ctx, r.Msg, out.Send)
}

// isNode refuses the name of a node that there is not.
func (s *nodes) isNode(node string) error { return isNode(s.peers, s.self(), node) }

// own sends the events of this node.
func (s *nodes) own(ctx context.Context, r *pb.EventsRequest, send func(*pb.EventsResponse) error) error {
	tenant, wanted, err := wantedEvents(ctx, r)
	if err != nil {
		return err
	}
	self, after := s.self(), r.GetAfter()
	if last, named := r.GetAfterOf()[self]; named {
		after = last
	}
	for reader := s.events.Reader(tenant, after); ; {
		found, lost, more := reader.Next()
		if lost > 0 {
			if err := send(&pb.EventsResponse{Item: &pb.EventsResponse_Lost{Lost: lost}, LostOf: self}); err != nil {
				return err
			}
		}
		for _, one := range found {
			if !wanted(one) {
				continue
			}
			if err := send(&pb.EventsResponse{Item: &pb.EventsResponse_Event{Event: eventTo(one, self)}}); err != nil {
				return err
			}
		}
		if !r.GetFollow() {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// aboutStreams are the kinds of events that are asked for in vain: they come whatever is.
var aboutStreams = []string{string(events.NodeSilent), string(events.NodeBack)}

func knownKinds() string {
	var all []string
	for _, kind := range events.Kinds() {
		all = append(all, string(kind))
	}
	return strings.Join(all, ", ")
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
		if !events.Kind(kind).Valid() && !slices.Contains(aboutStreams, kind) {
			return "", nil, fmt.Errorf("%w: events of kind %.64q are not known: %s are", policystore.ErrInvalid, kind, knownKinds())
		}
	}
	return tenant, func(e events.Event) bool {
		if r.GetCell() != "" && e.Cell != r.GetCell() {
			return false
		}
		return len(r.GetKinds()) == 0 || slices.Contains(r.GetKinds(), string(e.Kind))
	}, nil
}

func eventTo(e events.Event, node string) *pb.Event {
	out := &pb.Event{Index: e.Index, Kind: string(e.Kind), At: moment(e.At), Epoch: e.Epoch, Message: text(e.Message),
		Denial: fault.FromDenial(e.Denial), Policy: text(e.Policy), Version: e.Version, Trace: text(e.Trace), Node: node}
	if e.Cell != "" {
		out.Cell = &pb.CellRef{Tenant: text(e.Tenant), Name: text(e.Cell)}
	}
	return out
}

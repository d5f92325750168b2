package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// maxListed is how many things one answer lists.
const (
	maxListed     = 1000
	defaultListed = 100
)

// policies serves PolicyService.
type policies struct {
	api.UnimplementedPolicyServiceHandler
	store     *policystore.Store
	refresher *refresh.Refresher
	judge     *judge
}

var _ api.PolicyServiceHandler = (*policies)(nil)

// Put implements the call.
func (s *policies) Put(ctx context.Context, r *connect.Request[pb.PutRequest]) (*connect.Response[pb.PutResponse], error) {
	v, err := s.store.Put(ctx, principalOf(ctx), policystore.PutRequest{Name: r.Msg.GetName(), Text: r.Msg.GetText(),
		Expect: r.Msg.Expect, Comment: r.Msg.GetComment(), RequestID: r.Msg.GetRequestId()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.PutResponse{Version: versionOf(v, false)}), nil
}

// Get implements the call.
func (s *policies) Get(ctx context.Context, r *connect.Request[pb.GetRequest]) (*connect.Response[pb.GetResponse], error) {
	if err := mayRead(ctx, r.Msg.GetName()); err != nil {
		return nil, err
	}
	v, err := s.store.Get(ctx, r.Msg.GetName(), r.Msg.GetNumber(), consistency(r.Msg.GetStale()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.GetResponse{Version: versionOf(v, true)}), nil
}

// List implements the call.
func (s *policies) List(ctx context.Context, r *connect.Request[pb.ListRequest]) (*connect.Response[pb.ListResponse], error) {
	limit, err := listed(r.Msg.GetLimit(), maxListed)
	if err != nil {
		return nil, err
	}
	p := principalOf(ctx)
	page, err := s.store.List(ctx, policystore.ListRequest{Prefix: r.Msg.GetPrefix(), After: r.Msg.GetAfter(), Limit: limit, Deleted: r.Msg.GetDeleted(), Of: &p},
		consistency(r.Msg.GetStale()))
	if err != nil {
		return nil, err
	}
	out := &pb.ListResponse{Index: page.Index, More: page.More}
	for _, v := range page.Versions {
		out.Versions = append(out.Versions, versionOf(v, false))
	}
	return connect.NewResponse(out), nil
}

// History implements the call.
func (s *policies) History(ctx context.Context, r *connect.Request[pb.HistoryRequest]) (*connect.Response[pb.HistoryResponse], error) {
	limit, err := listed(r.Msg.GetLimit(), defaultListed)
	if err == nil {
		err = mayRead(ctx, r.Msg.GetName())
	}
	if err != nil {
		return nil, err
	}
	versions, err := s.store.History(ctx, r.Msg.GetName(), r.Msg.GetBefore(), limit)
	if err != nil {
		return nil, err
	}
	out := &pb.HistoryResponse{}
	for _, v := range versions {
		out.Versions = append(out.Versions, versionOf(v, false))
	}
	return connect.NewResponse(out), nil
}

// Rollback implements the call.
func (s *policies) Rollback(ctx context.Context, r *connect.Request[pb.RollbackRequest]) (*connect.Response[pb.RollbackResponse], error) {
	v, err := s.store.Rollback(ctx, principalOf(ctx), policystore.RollbackRequest{Name: r.Msg.GetName(), To: r.Msg.GetTo(),
		Expect: r.Msg.Expect, Comment: r.Msg.GetComment(), RequestID: r.Msg.GetRequestId()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RollbackResponse{Version: versionOf(v, false)}), nil
}

// Delete implements the call.
func (s *policies) Delete(ctx context.Context, r *connect.Request[pb.DeleteRequest]) (*connect.Response[pb.DeleteResponse], error) {
	v, err := s.store.Delete(ctx, principalOf(ctx), policystore.DeleteRequest{Name: r.Msg.GetName(),
		Expect: r.Msg.Expect, Comment: r.Msg.GetComment(), RequestID: r.Msg.GetRequestId()})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.DeleteResponse{Version: versionOf(v, false)}), nil
}

// Watch implements the call.
func (s *policies) Watch(ctx context.Context, r *connect.Request[pb.WatchRequest], out *connect.ServerStream[pb.WatchResponse]) error {
	watch, err := s.store.Watch(ctx, r.Msg.GetPrefix(), r.Msg.GetFrom())
	if err != nil {
		return err
	}
	if err := out.Send(nil); err != nil { // the client's call returns: the watch is in place
		return err
	}
	p := principalOf(ctx)
	for {
		event, err := watch.Next(ctx)
		if err != nil {
			return err
		}
		if !p.MayRead(event.Version.Name) {
			continue
		}
		if err := out.Send(&pb.WatchResponse{Version: versionOf(event.Version, false)}); err != nil {
			return err
		}
	}
}

// mayRead refuses names of other tenants, whether there is such a policy or not.
func mayRead(ctx context.Context, name string) error {
	if err := policystore.Name(name); err != nil {
		return err
	}
	if p := principalOf(ctx); !p.MayRead(name) {
		return fmt.Errorf("%w: policy %s: %s is bound to tenant %s", policystore.ErrDenied, name, p.Name, p.Tenant)
	}
	return nil
}

func mayChange(ctx context.Context, name string) error {
	if err := policystore.Name(name); err != nil {
		return err
	}
	if p := principalOf(ctx); !p.MayChange(name) {
		return fmt.Errorf("%w: policy %s: %s may not change it", policystore.ErrDenied, name, p.Name)
	}
	return nil
}

func consistency(stale bool) policystore.Consistency {
	if stale {
		return policystore.Stale
	}
	return policystore.Linearizable
}

// listed is the number of things that an answer lists.
func listed(asked uint32, otherwise int) (int, error) {
	switch {
	case asked == 0:
		return otherwise, nil
	case asked > maxListed:
		return 0, fmt.Errorf("%w: limit is %d; it must be between 1 and %d", policystore.ErrInvalid, asked, maxListed)
	}
	return int(asked), nil
}

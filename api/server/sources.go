package server

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// Pull implements the call.
func (s *policies) Pull(ctx context.Context, r *connect.Request[pb.PullRequest]) (*connect.Response[pb.PullResponse], error) {
	if err := mayChange(ctx, r.Msg.GetName()); err != nil {
		return nil, err
	}
	v, changed, err := s.refresher.Pull(ctx, refresh.Source{Name: r.Msg.GetName(), URL: r.Msg.GetUrl(), OtherHosts: r.Msg.GetOtherHosts(),
		SHA256: r.Msg.GetSha256(), Key: r.Msg.GetEd25519Key(), Every: r.Msg.GetEvery().AsDuration(), Principal: principalOf(ctx)})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.PullResponse{Version: versionOf(v, false), Changed: changed}), nil
}

// ListSources implements the call.
func (s *policies) ListSources(ctx context.Context, _ *connect.Request[pb.ListSourcesRequest]) (*connect.Response[pb.ListSourcesResponse], error) {
	p := principalOf(ctx)
	out := &pb.ListSourcesResponse{}
	for _, one := range s.refresher.Sources() {
		if p.MayRead(one.Name) {
			out.Sources = append(out.Sources, sourceOf(one))
		}
	}
	return connect.NewResponse(out), nil
}

// RemoveSource implements the call.
func (s *policies) RemoveSource(ctx context.Context, r *connect.Request[pb.RemoveSourceRequest]) (*connect.Response[pb.RemoveSourceResponse], error) {
	err := mayChange(ctx, r.Msg.GetName())
	if err == nil {
		err = s.refresher.Remove(r.Msg.GetName())
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RemoveSourceResponse{}), nil
}

func sourceOf(s refresh.Status) *pb.Source {
	out := &pb.Source{Name: s.Name, Url: s.URL, OtherHosts: s.OtherHosts, Sha256: s.SHA256, Ed25519Key: s.Key,
		Every: durationpb.New(s.Every), Principal: s.Principal.Name, LastOk: moment(s.LastOK), LastTry: moment(s.LastTry),
		NextTry: moment(s.NextTry), Failures: uint32(s.Failures)}
	if s.LastError != nil {
		out.LastError = s.LastError.Error()
	}
	return out
}

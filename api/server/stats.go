package server

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// Stats implements the call.
func (s *cells) Stats(ctx context.Context, r *connect.Request[pb.StatsRequest]) (*connect.Response[pb.StatsResponse], error) {
	all, err := s.listed(ctx, r.Msg.GetTenant(), r.Msg.GetNode())
	if err != nil {
		return nil, err
	}
	out, cpu := &pb.StatsResponse{States: map[string]uint32{}}, time.Duration(0)
	for _, one := range s.reports(ctx, all) {
		out.States[one.GetState()]++
		cpu += one.GetCpu().AsDuration()
		out.Memory += one.GetMemory()
		out.Output += one.GetOutput()
		out.Posts += one.GetPosts()
		out.Logs += one.GetLogs()
		out.Denials += one.GetDenials()
	}
	out.Cpu = durationpb.New(cpu)
	here := r.Msg.GetNode() == "" || r.Msg.GetNode() == s.node()
	if s.counts != nil && here && principalOf(ctx).Tenant == "" && r.Msg.GetTenant() == "" {
		stats := s.counts()
		out.Warm = uint32(stats.Ready)
		out.WarmHits, out.WarmMisses = stats.PoolHits, stats.PoolMisses
	}
	return connect.NewResponse(out), nil
}

package server

import (
	"cmp"
	"context"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// List implements the call: what each node tells of its cells, and of those of nodes that do not
// answer what all nodes know.
func (s *everywhere) List(ctx context.Context, r *connect.Request[pb.ListCellsRequest]) (*connect.Response[pb.ListCellsResponse], error) {
	out, err := s.cells.List(ctx, r)
	if err != nil || isPassedOn(ctx) {
		return out, err
	}
	node := r.Msg.GetNode()
	answers, silent := askAll(ctx, s.peers, node, func(ctx context.Context, p peerAPI) (*connect.Response[pb.ListCellsResponse], error) {
		return p.cells.List(ctx, toPeer(ctx, &pb.ListCellsRequest{Tenant: r.Msg.GetTenant()}))
	})
	all := out.Msg.GetReports()
	for _, one := range answers {
		all = append(all, one.GetReports()...)
	}
	tenant := cmp.Or(r.Msg.GetTenant(), principalOf(ctx).Tenant)
	all = s.withAbsent(all, slices.DeleteFunc(s.fabric.Places(tenant), func(p Place) bool { return node != "" && node != cmp.Or(p.Node, p.Lost) }))
	slices.SortStableFunc(all, func(x, y *pb.CellReport) int {
		return cmp.Or(cmp.Compare(x.GetCell().GetTenant(), y.GetCell().GetTenant()), cmp.Compare(x.GetCell().GetName(), y.GetCell().GetName()))
	})
	out.Msg.Reports, out.Msg.Silent = all, silent
	return out, nil
}

// withAbsent adds cells that no node has told of. What a node tells of its part of one that is suspended by now is
// left out.
func (s *everywhere) withAbsent(all []*pb.CellReport, places []Place) []*pb.CellReport {
	waits := map[cellKey]uint64{} // the epoch in which it is suspended
	for _, p := range places {
		if p.isSuspended() {
			waits[cellKey{p.Address.Tenant, p.Address.Name}] = p.Epoch
		}
	}
	told := map[cellKey]bool{}
	all = slices.DeleteFunc(all, func(one *pb.CellReport) bool {
		k := cellKey{one.GetCell().GetTenant(), one.GetCell().GetName()}
		over := one.GetEpoch() < waits[k]
		told[k] = told[k] || !over
		return over
	})
	for _, p := range places {
		if k := (cellKey{p.Address.Tenant, p.Address.Name}); !told[k] && p.Node != s.fabric.Self() {
			all = append(all, fromAfar(p))
		}
	}
	return all
}

// fromAfar is what all nodes know of a cell.
func fromAfar(p Place) *pb.CellReport {
	out := &pb.CellReport{Cell: &pb.CellRef{Tenant: p.Address.Tenant, Name: p.Address.Name}, Epoch: p.Epoch, Node: p.Node,
		State: "unknown", Reason: "its node has not told of it"}
	if p.Node == "" {
		out.Node, out.State, out.Reason = p.Lost, "lost", "its node is gone"
	}
	if p.isSuspended() {
		out.State, out.Reason, out.Checkpoint, out.Copies = Suspended, p.whySuspended()+"; "+p.goesOnBy(), p.Checkpoint, p.Copies
	}
	return out
}

// Stats implements the call.
func (s *everywhere) Stats(ctx context.Context, r *connect.Request[pb.StatsRequest]) (*connect.Response[pb.StatsResponse], error) {
	out, err := s.cells.Stats(ctx, r)
	if err != nil || isPassedOn(ctx) {
		return out, err
	}
	answers, silent := askAll(ctx, s.peers, r.Msg.GetNode(), func(ctx context.Context, p peerAPI) (*connect.Response[pb.StatsResponse], error) {
		return p.cells.Stats(ctx, toPeer(ctx, &pb.StatsRequest{Tenant: r.Msg.GetTenant()}))
	})
	for _, one := range answers {
		addStats(out.Msg, one)
	}
	out.Msg.Silent = silent
	if r.Msg.GetNode() == "" {
		out.Msg.Silent = s.peers.withLost(silent)
	}
	return out, nil
}

func addStats(to, one *pb.StatsResponse) {
	for state, n := range one.GetStates() {
		to.States[state] += n
	}
	to.Cpu = durationpb.New(to.GetCpu().AsDuration() + one.GetCpu().AsDuration())
	to.Memory += one.GetMemory()
	to.Output += one.GetOutput()
	to.Posts += one.GetPosts()
	to.Logs += one.GetLogs()
	to.Denials += one.GetDenials()
	to.Warm += one.GetWarm()
	to.WarmHits += one.GetWarmHits()
	to.WarmMisses += one.GetWarmMisses()
}

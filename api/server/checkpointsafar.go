package server

import (
	"context"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// Checkpoint implements the call: the node that has the cell keeps its checkpoint.
func (s *everywhere) Checkpoint(ctx context.Context, r *connect.Request[pb.CheckpointRequest]) (*connect.Response[pb.CheckpointResponse], error) {
	return pass(ctx, s, r, s.cells.Checkpoint, api.CellServiceClient.Checkpoint)
}

// ListCheckpoints implements the call: what each node has.
func (s *everywhere) ListCheckpoints(ctx context.Context, r *connect.Request[pb.ListCheckpointsRequest]) (*connect.Response[pb.ListCheckpointsResponse], error) {
	out, err := s.cells.ListCheckpoints(ctx, r)
	if err != nil || isPassedOn(ctx) {
		return out, err
	}
	answers, silent := askAll(ctx, s.peers, "", func(ctx context.Context, p peerAPI) (*connect.Response[pb.ListCheckpointsResponse], error) {
		return p.cells.ListCheckpoints(ctx, toPeer(ctx, r.Msg))
	})
	for _, one := range answers {
		out.Msg.Checkpoints = joined(out.Msg.GetCheckpoints(), one.GetCheckpoints())
	}
	out.Msg.Silent = s.peers.withLost(silent)
	return out, nil
}

// joined is all of both, with a checkpoint that several nodes have once.
func joined(all, more []*pb.CheckpointInfo) []*pb.CheckpointInfo {
	known := make(map[string]*pb.CheckpointInfo, len(all))
	for _, one := range all {
		known[one.GetId()] = one
	}
	for _, one := range more {
		if same := known[one.GetId()]; same != nil {
			same.Nodes = append(same.GetNodes(), one.GetNodes()...)
			continue
		}
		all = append(all, one)
	}
	return all
}

// keeper is the node that has a checkpoint, and the cell that it is of; "" is this one, also where none is known
// to, and then of is nil.
func (s *everywhere) keeper(ctx context.Context, id string) (node string, of *pb.CellRef) {
	info, err := s.checkpointOf(ctx, id)
	if err == nil {
		return "", &pb.CellRef{Tenant: info.Header.Tenant, Name: info.Header.Cell}
	}
	if isPassedOn(ctx) {
		return "", nil
	}
	answers, _ := askAll(ctx, s.peers, "", func(ctx context.Context, p peerAPI) (*connect.Response[pb.ListCheckpointsResponse], error) {
		return p.cells.ListCheckpoints(ctx, toPeer(ctx, &pb.ListCheckpointsRequest{}))
	})
	for _, one := range answers {
		for _, c := range one.GetCheckpoints() {
			if c.GetId() == id && len(c.GetNodes()) > 0 {
				return c.GetNodes()[0], c.GetCell()
			}
		}
	}
	return "", nil
}

// whereKept has a call about a checkpoint answered where that is.
func whereKept[Q, A any](ctx context.Context, s *everywhere, id string, r *connect.Request[Q], here handler[Q, A], there caller[Q, A]) (*connect.Response[A], error) {
	node, _ := s.keeper(ctx, id)
	return at(ctx, s, node, r.Msg, here, there)
}

// at has a call answered by a node; "" is this one.
func at[Q, A any](ctx context.Context, s *everywhere, node string, message *Q, here handler[Q, A], there caller[Q, A]) (*connect.Response[A], error) {
	if node == "" || node == s.fabric.Self() {
		return here(ctx, connect.NewRequest(message))
	}
	answer, err := there(s.peers.of(node).cells, ctx, toPeer(ctx, message))
	if err != nil {
		return nil, fromPeer(ctx, node, err)
	}
	return connect.NewResponse(answer.Msg), nil
}

// DeleteCheckpoint implements the call.
func (s *everywhere) DeleteCheckpoint(ctx context.Context, r *connect.Request[pb.DeleteCheckpointRequest]) (*connect.Response[pb.DeleteCheckpointResponse], error) {
	return whereKept(ctx, s, r.Msg.GetId(), r, s.cells.DeleteCheckpoint, api.CellServiceClient.DeleteCheckpoint)
}

// ExportCheckpoint implements the call.
func (s *everywhere) ExportCheckpoint(ctx context.Context, r *connect.Request[pb.ExportCheckpointRequest], out *connect.ServerStream[pb.ExportCheckpointResponse]) error {
	node, _ := s.keeper(ctx, r.Msg.GetId())
	if node == "" {
		return s.cells.ExportCheckpoint(ctx, r, out)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the other node stops when this one does
	in, err := s.peers.of(node).cells.ExportCheckpoint(ctx, toPeer(ctx, r.Msg))
	if err != nil {
		return fromPeer(ctx, node, err)
	}
	defer func() { _ = in.Close() }()
	for in.Receive() {
		if err := out.Send(in.Msg()); err != nil {
			return err
		}
	}
	return fromPeer(ctx, node, in.Err())
}

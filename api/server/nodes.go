package server

import (
	"cmp"
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// nodes serves NodeService.
type nodes struct {
	describe func() *pb.Node // nil: there is nothing to say
	self     func() string   // the name of this node
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
	answers, silent := askAll(ctx, s.peers, "", func(ctx context.Context, p peerAPI) (*connect.Response[pb.ListNodesResponse], error) {
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

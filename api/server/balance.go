package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/policystore"
)

const (
	// defaultMoves is how many cells a call moves, unless it says, and maxMoves the most.
	defaultMoves, maxMoves = 64, 4096
)

// load is how many cells a node has, of how many.
type load struct {
	node  string
	cells []*pb.CellRef // that may move, in the order in which they do
	has   int
	most  int
}

// share is what it has of what it can, with more cells.
func (l *load) share(more int) float64 { return float64(l.has+more) / float64(l.most) }

// balance says which cells are to go where, so many at the most, for the shares to become alike. It changes loads.
func balance(loads []*load, most int) (moves []*pb.CellMove) {
	for len(moves) < most && len(loads) > 1 {
		slices.SortStableFunc(loads, func(a, b *load) int { return cmp.Compare(a.share(0), b.share(0)) })
		to := loads[0]
		at := len(loads) - 1
		for at > 0 && len(loads[at].cells) == 0 {
			at--
		}
		from := loads[at]
		if at == 0 || to.has >= to.most || from.share(-1) < to.share(1) { // it would only change places
			break
		}
		moves = append(moves, &pb.CellMove{Cell: from.cells[0], From: from.node, To: to.node})
		from.cells = from.cells[1:]
		from.has--
		to.has++
	}
	return moves
}

// Rebalance implements the call.
func (s *clusters) Rebalance(ctx context.Context, r *connect.Request[pb.RebalanceRequest]) (*connect.Response[pb.RebalanceResponse], error) {
	c, err := s.cluster()
	switch {
	case err != nil:
		return nil, err
	case !s.cells.moves() || s.peers == nil:
		return nil, errNoMigration
	case r.Msg.GetMost() > maxMoves:
		return nil, fmt.Errorf("%w: most is %d; %d is the most", policystore.ErrInvalid, r.Msg.GetMost(), maxMoves)
	}
	moves := balance(s.loads(c), cmp.Or(int(r.Msg.GetMost()), defaultMoves))
	if r.Msg.GetDryRun() {
		return connect.NewResponse(&pb.RebalanceResponse{Moves: moves}), nil
	}
	err = s.decide(ctx, "cells are balanced among nodes", func(Cluster) error {
		for _, m := range moves {
			if err := s.moveOne(ctx, m); err != nil {
				m.Error = err.Error()
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	}, slog.Int("moves", len(moves)))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RebalanceResponse{Moves: moves}), nil
}

// loads are those of the nodes that are there and take cells.
func (s *clusters) loads(c Cluster) (all []*load) {
	of := map[string]*load{}
	for _, m := range c.Members() {
		if m.State == cluster.Alive && m.Session && m.Meta.Closed == "" && m.Meta.Cells > 0 {
			l := &load{node: m.Name, most: int(min(m.Meta.Cells, maxLive))}
			of[m.Name], all = l, append(all, l)
		}
	}
	for _, p := range s.cells.fabric.Places("") {
		if l := of[p.Node]; l != nil {
			l.has++
			if p.Phase == Active {
				l.cells = append(l.cells, &pb.CellRef{Tenant: p.Address.Tenant, Name: p.Address.Name})
			}
		}
	}
	return all
}

// moveOne has the node of a cell move it.
func (s *clusters) moveOne(ctx context.Context, m *pb.CellMove) error {
	if m.GetFrom() == s.cells.fabric.Self() {
		e, err := s.book.find(cellKey{m.GetCell().GetTenant(), m.GetCell().GetName()})
		if err != nil {
			return err
		}
		return s.cells.moveTo(ctx, e, m.GetTo())
	}
	in, err := s.peers.of(m.GetFrom()).cells.Migrate(ctx, toPeer(ctx, &pb.MigrateRequest{Tenant: m.GetCell().GetTenant(), Name: m.GetCell().GetName(), Node: m.GetTo()}))
	if err != nil {
		return fromPeer(ctx, m.GetFrom(), err)
	}
	defer func() { _ = in.Close() }()
	for in.Receive() { // until it is over
	}
	return fromPeer(ctx, m.GetFrom(), in.Err())
}

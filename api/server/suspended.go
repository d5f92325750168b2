package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

// isSuspended says that no node has a cell, and that one with a copy of its checkpoint can have it go on.
func (p Place) isSuspended() bool { return p.Node == "" && p.Phase == Suspended && p.Checkpoint != "" }

// nobodys is the error of a cell that no node has. It is CellGone.
type nobodys struct{ place Place }

func (e *nobodys) Error() string {
	a := e.place.Address
	if !e.place.isSuspended() {
		return fmt.Sprintf("node %s, which had cell %s, is gone, and the cell with it: spawn it again", e.place.Lost, a)
	}
	return fmt.Sprintf("cell %s is suspended: %s; %s", a, e.place.whySuspended(), e.place.goesOnBy())
}

func (e *nobodys) Unwrap() error { return cell.Errorf(cell.CellGone, "%s", e.Error()) }

// whySuspended says why no node has a cell.
func (p Place) whySuspended() string {
	if slices.Contains(p.Yielded, p.Lost) {
		return fmt.Sprintf("node %s could not have it go on", p.Lost)
	}
	return fmt.Sprintf("node %s, which had it, is gone", p.Lost)
}

// goesOnBy says what to do about a suspended cell.
func (p Place) goesOnBy() string {
	return fmt.Sprintf("restore %s, and it goes on from checkpoint %.12s when one of %s is there", p.Address, p.Checkpoint, strings.Join(p.Copies, ", "))
}

// receiving requests take what a cell has said, also when it has ended.
func receiving(message any) bool {
	switch message.(type) {
	case *pb.RecvRequest, *pb.StreamRequest, *pb.LogsRequest:
		return true
	}
	return false
}

// Inspect implements the call. Of a suspended cell any node says what all know.
func (s *everywhere) Inspect(ctx context.Context, r *connect.Request[pb.InspectRequest]) (*connect.Response[pb.InspectResponse], error) {
	answer, err := pass(ctx, s, r, s.cells.Inspect, api.CellServiceClient.Inspect)
	var none *nobodys
	if errors.As(err, &none) && none.place.isSuspended() {
		return connect.NewResponse(&pb.InspectResponse{Report: fromAfar(none.place)}), nil
	}
	return answer, err
}

// discard forgets a cell that no node has. A copy that is not reached is old some day.
func (s *everywhere) discard(ctx context.Context, p Place) error {
	if err := s.fabric.Discard(ctx, p.Address, p.Epoch); err != nil {
		return err
	}
	if p.Checkpoint == "" {
		return nil
	}
	for _, node := range p.Copies {
		if err := s.removeCopy(ctx, node, p.Checkpoint); err != nil && !errors.Is(fault.Answered(err), policystore.ErrNotFound) {
			s.logger.Warn("a checkpoint of a cell that was closed stays for a while", slog.String("cell", p.Address.String()),
				slog.String("checkpoint", p.Checkpoint), slog.String("node", node), slog.Any("error", err))
		}
	}
	return nil
}

// removeCopy has a node remove a checkpoint that the cluster does not count on, as the copy that it was sent or
// else, for whoever calls, as its own.
func (s *everywhere) removeCopy(ctx context.Context, node, id string) error {
	drop, remove := &pb.CancelRequest{Migration: copyTransfer + id}, &pb.DeleteCheckpointRequest{Id: id}
	if node == s.fabric.Self() {
		if err := s.transfers.cancelCopy(ctx, id, node); err != nil {
			return err
		}
		return failed(s.cells.DeleteCheckpoint(ctx, connect.NewRequest(remove)))
	}
	if _, open := s.fabric.Seat(node); !open {
		return fmt.Errorf("%w: node %s has no lease", fault.ErrUnavailable, node)
	}
	ctx, cancel := context.WithTimeout(ctx, peerWithin)
	defer cancel()
	at := s.peers.of(node)
	if err := failed(at.transfers.Cancel(ctx, toPeer(ctx, drop))); err != nil {
		return fromPeer(ctx, node, err)
	}
	return fromPeer(ctx, node, failed(at.cells.DeleteCheckpoint(ctx, toPeer(ctx, remove))))
}

func failed[A any](_ A, err error) error { return err }

package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

// closedWithin is how long who closes a cell waits for it to come where it is on its way to, and until it is agreed
// that it is gone.
const closedWithin = 10 * time.Second

// succeededError is of a cell whose name another has by now.
type succeededError struct{ error }

// Unwrap is for errors.Is and errors.As.
func (e *succeededError) Unwrap() error { return e.error }

// isOver says that there is no cell of the name here, or none any more.
func isOver(err error) bool {
	return errors.Is(err, policystore.ErrNotFound) || isNotFound(err) || errors.Is(err, cell.CellGone) || isGone(err)
}

// Close implements the call. It is answered when it is agreed that the cell is gone: a node that says so may not be
// its owner any more, or not yet, and what is not agreed comes back when the node dies. A cell that no node has
// is forgotten, and the copies of its checkpoint are removed.
func (s *everywhere) Close(ctx context.Context, r *connect.Request[pb.CloseRequest]) (*connect.Response[pb.CloseResponse], error) {
	k, err := keyOf(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, closedWithin)
	defer cancel()
	for {
		answer, err := pass(ctx, s, r, s.closeHere, api.CellServiceClient.Close)
		var none *nobodys
		switch {
		case errors.As(err, &none) && r.Msg.GetId() != "": // which no record has
			return nil, cell.Errorf(cell.CellGone, "%v; to close it, leave out the id", none)
		case none != nil:
			err = s.discard(ctx, none.place)
		case err != nil && isOver(err):
			err = s.isGone(ctx, k, err)
		default:
			return answer, err
		}
		switch {
		case err == nil:
			return connect.NewResponse(&pb.CloseResponse{}), nil
		case !errors.Is(err, policystore.ErrConflict): // else a node has it by now, which is to close it
			return nil, err
		case !pause.For(waiting, again[0]):
			return nil, cell.Errorf(cell.Busy, "cell %s is on its way from node to node: close it when it is there", k)
		}
	}
}

// isGone is nil when it is agreed that there is no cell, of which a node has said so. ErrConflict: another node
// has it, or this one is about to. Whoever passed the call on follows by himself.
func (s *everywhere) isGone(ctx context.Context, k cellKey, said error) error {
	if err := s.fabric.Refresh(ctx); err != nil {
		return err
	}
	place, known := s.fabric.Find(k.address())
	switch {
	case !known:
		return nil
	case isPassedOn(ctx) && place.Node != s.fabric.Self():
		return said
	}
	return policystore.ErrConflict
}

// closeHere closes a cell of this node, and returns when that is agreed. When it was not this node's any more, what
// has it is still to be closed.
func (s *everywhere) closeHere(ctx context.Context, r *connect.Request[pb.CloseRequest]) (*connect.Response[pb.CloseResponse], error) {
	k, err := keyOf(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	was, known := s.fabric.Find(k.address())
	err = s.tell(ctx, r.Msg, actors.Close{})
	var succeeded *succeededError
	switch {
	case errors.As(err, &succeeded):
		return connect.NewResponse(&pb.CloseResponse{}), nil
	case err != nil:
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, closedWithin)
	defer cancel()
	for known {
		if err := s.fabric.Refresh(waiting); err != nil {
			return nil, err
		}
		now, left := s.fabric.Find(k.address())
		switch {
		case !left || now.Claim != was.Claim:
			known = false
		case now.Node != s.fabric.Self():
			return nil, fmt.Errorf("%w: cell %s has left this node", policystore.ErrNotFound, k)
		case !pause.For(waiting, again[0]):
			return nil, cell.Errorf(cell.Busy, "cell %s is closed here, and it is not agreed yet: close it again", k)
		}
	}
	return connect.NewResponse(&pb.CloseResponse{}), nil
}

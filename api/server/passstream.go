package server

import (
	"context"
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// How everywhere has streams sent from where their cells are is here.

type (
	streamHandler[Q, A any] func(context.Context, *connect.Request[Q], *connect.ServerStream[A]) error
	streamCaller[Q, A any]  func(api.CellServiceClient, context.Context, *connect.Request[Q]) (*connect.ServerStreamForClient[A], error)
)

// passStream has a stream sent from where its cell is, and goes on where the cell goes. What is on the way when
// the client goes is not received again.
func passStream[Q, A any](ctx context.Context, s *everywhere, r *connect.Request[Q], out *connect.ServerStream[A], here streamHandler[Q, A], there streamCaller[Q, A]) error {
	place, err := s.nodeFor(ctx, r.Msg)
	if err != nil {
		return err
	}
	for p := (passing{place: place}); ; {
		var sent uint64
		if p.place.Node == "" {
			err = here(ctx, r, out)
			var on *goesOn
			if errors.As(err, &on) {
				sent = on.sent
			}
		} else {
			sent, err = relay(ctx, s, p.place.Node, r.Msg, out, there)
		}
		if err == nil || !hasLeft(err) && !isGone(err) && !isNotFound(err) {
			return err
		}
		rest, follows := remaining(r.Msg, sent)
		if !follows || !s.follow(ctx, &p) {
			return err
		}
		if rest == nil {
			return nil // it had all that it wanted
		}
		r = sameCall(r, rest)
	}
}

// goesOn is why a stream ends here: its cell has moved, or the move that it tells of has begun and come to nothing. Of
// what a limit counts so many were sent.
type goesOn struct {
	sent uint64
	err  error
}

func (e *goesOn) Error() string { return e.err.Error() }

func (e *goesOn) Unwrap() error { return e.err }

// remaining is what a stream still wants after so many of what counts were sent; nil: nothing. One that tells of a
// move follows a cell until it has begun.
func remaining[Q any](message *Q, sent uint64) (rest *Q, follows bool) {
	switch m := any(message).(type) {
	case *pb.StreamRequest:
		if m.GetLimit() == 0 {
			return message, true
		}
		if sent >= m.GetLimit() {
			return nil, true
		}
		less := proto.CloneOf(m)
		less.Limit -= sent
		return any(less).(*Q), true
	case *pb.LogsRequest:
		return message, true
	case *pb.MigrateRequest:
		return message, sent == 0
	}
	return nil, false
}

// counts says of what a stream sends that it is among what remaining asks for.
func counts(message any) bool {
	switch m := message.(type) {
	case *pb.StreamResponse:
		return m.GetPost() != nil || m.GetError() != nil
	case *pb.MigrateResponse:
		return true
	}
	return false
}

// sameCall is a call with another message.
func sameCall[Q any](r *connect.Request[Q], message *Q) *connect.Request[Q] {
	next := connect.NewRequest(message)
	for key, values := range r.Header() {
		next.Header()[key] = values
	}
	return next
}

// relay sends what another node sends, and counts what a limit counts.
func relay[Q, A any](ctx context.Context, s *everywhere, node string, message *Q, out *connect.ServerStream[A], there streamCaller[Q, A]) (sent uint64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the other node stops when this one does
	in, err := there(s.peers.of(node).cells, ctx, toPeer(ctx, message))
	if err != nil {
		return 0, fromPeer(ctx, node, err)
	}
	defer func() { _ = in.Close() }()
	if err := out.Send(nil); err != nil { // the client's call returns
		return 0, err
	}
	for in.Receive() {
		if err := out.Send(in.Msg()); err != nil {
			return sent, err
		}
		if counts(in.Msg()) {
			sent++
		}
	}
	return sent, fromPeer(ctx, node, in.Err())
}

package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

// everywhere serves CellService for the cells of all nodes: what is asked of a cell goes to the
// node that has it, where cells does it. A call that another node has passed on goes no further.
type everywhere struct {
	*cells
}

var _ api.CellServiceHandler = (*everywhere)(nil)

// everywhere is cells where a node is by itself.
func (c Config) everywhere(here *cells) api.CellServiceHandler {
	if c.Fabric == nil {
		return here
	}
	return &everywhere{here}
}

// Exec implements the call.
func (s *everywhere) Exec(ctx context.Context, r *connect.Request[pb.ExecRequest]) (*connect.Response[pb.ExecResponse], error) {
	return pass(ctx, s, r, s.cells.Exec, api.CellServiceClient.Exec)
}

// Call implements the call.
func (s *everywhere) Call(ctx context.Context, r *connect.Request[pb.CallRequest]) (*connect.Response[pb.CallResponse], error) {
	return pass(ctx, s, r, s.cells.Call, api.CellServiceClient.Call)
}

// Send implements the call.
func (s *everywhere) Send(ctx context.Context, r *connect.Request[pb.SendRequest]) (*connect.Response[pb.SendResponse], error) {
	return pass(ctx, s, r, s.cells.Send, api.CellServiceClient.Send)
}

// Recv implements the call.
func (s *everywhere) Recv(ctx context.Context, r *connect.Request[pb.RecvRequest]) (*connect.Response[pb.RecvResponse], error) {
	return pass(ctx, s, r, s.cells.Recv, api.CellServiceClient.Recv)
}

// Quarantine implements the call.
func (s *everywhere) Quarantine(ctx context.Context, r *connect.Request[pb.QuarantineRequest]) (*connect.Response[pb.QuarantineResponse], error) {
	return pass(ctx, s, r, s.cells.Quarantine, api.CellServiceClient.Quarantine)
}

// Kill implements the call.
func (s *everywhere) Kill(ctx context.Context, r *connect.Request[pb.KillRequest]) (*connect.Response[pb.KillResponse], error) {
	return pass(ctx, s, r, s.cells.Kill, api.CellServiceClient.Kill)
}

// Stream implements the call.
func (s *everywhere) Stream(ctx context.Context, r *connect.Request[pb.StreamRequest], out *connect.ServerStream[pb.StreamResponse]) error {
	return passStream(ctx, s, r, out, s.cells.Stream, api.CellServiceClient.Stream)
}

// Logs implements the call.
func (s *everywhere) Logs(ctx context.Context, r *connect.Request[pb.LogsRequest], out *connect.ServerStream[pb.LogsResponse]) error {
	return passStream(ctx, s, r, out, s.cells.Logs, api.CellServiceClient.Logs)
}

// nodeFor says which node has the cell that a request is about; "" is this one, also where no node has
// it: it knows best what there was.
func (s *everywhere) nodeFor(ctx context.Context, message any) (Place, error) {
	ref, ok := message.(named)
	if !ok {
		return Place{}, fmt.Errorf("%T names no cell", message)
	}
	k, err := keyOf(ctx, ref)
	if err != nil || isPassedOn(ctx) {
		return Place{Address: k.address()}, err
	}
	place, known := s.fabric.Find(k.address())
	own, none := s.book.find(k)
	here := none == nil
	// The cell may be so new that this node has not heard of it, only of an earlier one of its name.
	if stale := place.Node == "" || place.Node == s.fabric.Self(); !known || stale && (!here || own.isFinal()) {
		switch err := s.fabric.Refresh(ctx); {
		case err == nil:
			place, known = s.fabric.Find(k.address())
		case !here:
			return Place{}, err // whether there is one, it cannot be told
		}
	}
	if place.Node == "" && here && (receiving(message) || !place.isSuspended()) {
		known = false // what it has said can still be received
	}
	return s.callAt(k, place, known)
}

// callAt is where a cell is called; "" is this node.
func (s *everywhere) callAt(k cellKey, p Place, known bool) (Place, error) {
	switch {
	case !known || p.Node == s.fabric.Self():
		return Place{Address: k.address(), Claim: p.Claim, Epoch: p.Epoch}, nil
	case p.Node == "":
		return Place{}, &nobodys{p}
	}
	return p, nil
}

// again are the pauses before a request that is acknowledged is passed on again.
var again = []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second}

// acknowledged are requests that may be passed on more than once.
type acknowledged interface {
	GetAcknowledged() bool
	GetRequestId() string
}

// repeats says how often a request may be passed on again.
func repeats(message any) (int, error) {
	a, ok := message.(acknowledged)
	switch {
	case !ok || !a.GetAcknowledged():
		return 0, nil
	case a.GetRequestId() == "":
		return 0, cell.Errorf(cell.Invalid, "acknowledged needs a request_id, by which the cell knows the request when it comes again")
	}
	return len(again), nil
}

type (
	handler[Q, A any] func(context.Context, *connect.Request[Q]) (*connect.Response[A], error)
	caller[Q, A any]  func(api.CellServiceClient, context.Context, *connect.Request[Q]) (*connect.Response[A], error)
)

// pass has a call answered where its cell is.
func pass[Q, A any](ctx context.Context, s *everywhere, r *connect.Request[Q], here handler[Q, A], there caller[Q, A]) (*connect.Response[A], error) {
	left, err := repeats(r.Msg)
	if err != nil {
		return nil, err
	}
	place, err := s.nodeFor(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	for p := (passing{place: place, left: left, asksAnew: asksAnew(r.Msg)}); ; {
		if p.place.Node == "" {
			answer, err := here(ctx, r)
			if !hasLeft(err) || !s.follow(ctx, &p) {
				return answer, err
			}
			continue
		}
		answer, err := there(s.peers.of(p.place.Node).cells, ctx, toPeer(ctx, r.Msg))
		if err == nil {
			return connect.NewResponse(answer.Msg), nil
		}
		err = fromPeer(ctx, p.place.Node, err)
		switch s.after(ctx, &p, err) {
		case giveUp:
			return nil, p.before.told(err)
		case doHere:
			return here(ctx, r)
		case passOn:
		}
	}
}

// asksAnew says of a request that a node which the cell has left does not see to it, nor has anything been done that
// were wrong if it is done again.
func asksAnew(message any) bool {
	switch message.(type) {
	case *pb.RecvRequest, *pb.CheckpointRequest:
		return true
	}
	return false
}

// hasLeft says of what this node answers that the cell may have gone to another one, and nothing was begun.
func hasLeft(err error) bool {
	return errors.Is(err, actors.ErrMoved) || errors.Is(err, policystore.ErrNotFound)
}

// passing is a call on its way to the node that has its cell.
type passing struct {
	place     Place
	try, left int // again so many times, of so many
	moved     bool
	followed  int  // to so many nodes
	comes     int  // it was to be here so many times
	asksAnew  bool // it goes on where the cell is, whatever came of it where the cell was
	before    doubt
}

// step is what comes after a try that failed.
type step int

const (
	giveUp step = iota
	passOn      // to passing.place
	doHere
)

// after says how a call goes on that failed by err.
func (s *everywhere) after(ctx context.Context, p *passing, err error) step {
	if p.wasNotBegun(err) && s.follow(ctx, p) {
		return passOn
	}
	return s.afterLoss(ctx, p, err)
}

// wasNotBegun says that a cell may have moved before it was asked.
func (p *passing) wasNotBegun(err error) bool {
	return p.try == 0 && (isNotFound(err) || p.asksAnew && isGone(err))
}

// afterLoss is after, for a cell that has not moved.
func (s *everywhere) afterLoss(ctx context.Context, p *passing, err error) step {
	switch {
	case isNotFound(err) && p.try == 0 && !p.moved: // nothing was begun: the cell has moved, or ended, since
		p.moved = true
	case lost(err) && p.try < p.left && pause.For(ctx, again[p.try]):
		p.before.add(err)
		p.try++
	default:
		return giveUp
	}
	next, known := s.placeAgain(ctx, p.place)
	switch {
	case !known, next.Node == "":
		return giveUp
	case bool(p.before) && !next.same(p.place): // another life of it knows nothing of what may have been done
		return giveUp
	case next.Node == s.fabric.Self():
		return doHere
	}
	p.place = next
	return passOn
}

const (
	// maxFollowed is how often a call follows a cell that goes from node to node,
	maxFollowed = 16
	// maxComes how often it is asked for where it has just come to, within half a second.
	maxComes = 8
)

// follow finds the node that has a cell by now, if it has moved since p.place was true, also there and back, or was
// taken over by another node. The place of this node is none.
func (s *everywhere) follow(ctx context.Context, p *passing) bool {
	if p.followed == maxFollowed {
		return false
	}
	if isPassedOn(ctx) {
		return s.comes(ctx, p)
	}
	next, known := s.placeAgain(ctx, p.place)
	was := p.place.Node
	if was == "" {
		was = s.fabric.Self()
	}
	back := next.Node == was && p.place.Epoch != 0 && next.Epoch > p.place.Epoch // it has been elsewhere meanwhile
	if !known || next.Node == "" || next.Node == was && !back || p.place.Claim != "" && next.Claim != p.place.Claim {
		return false
	}
	p.followed++
	if p.place = next; next.Node == s.fabric.Self() {
		p.place = Place{Address: next.Address, Claim: next.Claim, Epoch: next.Epoch}
	}
	return true
}

// comes says of a cell that is not here, for whoever was told that it is, that it is all the same: this node hears
// later than others that a cell has come to it.
func (s *everywhere) comes(ctx context.Context, p *passing) bool {
	next, known := s.placeAgain(ctx, p.place)
	if !known || next.Node != s.fabric.Self() || p.comes == maxComes {
		return false
	}
	p.comes++
	return pause.For(ctx, time.Millisecond<<p.comes)
}

// placeAgain is where a cell is by now.
func (s *everywhere) placeAgain(ctx context.Context, p Place) (Place, bool) {
	if s.fabric.Refresh(ctx) != nil {
		return p, true // what was true is still the best that is known
	}
	return s.fabric.Find(p.Address)
}

// isNotFound says that a node has no cell of the name.
func isNotFound(err error) bool {
	var sent *connect.Error
	return errors.As(err, &sent) && sent.Code() == connect.CodeNotFound
}

// isGone says that a node has answered that the cell is not there any more.
func isGone(err error) bool { return errors.Is(fault.Answered(err), cell.CellGone) }

// lost says that the way to a node failed, before the request or after.
func lost(err error) bool {
	var not *unreachedError
	return errors.As(err, &not) || cell.KindOf(err) == cell.UnknownOutcome
}

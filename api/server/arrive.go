package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

const (
	// pushPiece is the most that one message of Push has of a file.
	pushPiece = 256 << 10
	// arriveWithin is how long a cell that this node is the owner of may take to have its state.
	arriveWithin = 2 * time.Minute
)

// Push implements the call.
func (t *transfers) Push(ctx context.Context, in *connect.ClientStream[pb.PushRequest]) (*connect.Response[pb.PushResponse], error) {
	if t.checkpoints == nil {
		return nil, errNoCheckpoints
	}
	if !in.Receive() {
		return nil, errors.Join(cell.Errorf(cell.Invalid, "there is no file"), in.Err())
	}
	b := in.Msg().GetBegin()
	if b == nil {
		return nil, cell.Errorf(cell.Invalid, "the first message does not say what comes")
	}
	archive, tenant := t.checkpoints.Archive, b.GetCell().GetTenant()
	which := reserved{peerOf(ctx).node, b.GetTransfer()}
	if err := t.mayPush(ctx, cellKey{tenant, b.GetCell().GetName()}, which); err != nil {
		return nil, err
	}
	if err := archive.Ring().Adopt(checkpoint.SharedKey{Tenant: tenant, ID: b.GetKeyId(), Key: b.GetKey()}); err != nil {
		return nil, t.worded(err)
	}
	arrival, err := archive.Incoming(which.arrival(), tenant)
	if err != nil {
		return nil, t.worded(err)
	}
	if err := t.expects(ctx, which, arrival); err != nil {
		return nil, err
	}
	if err := t.pieces(in, which, arrival, b.GetOffset()); err != nil {
		return nil, err
	}
	info, err := arrival.Finish(checkpoint.Expect{Tenant: tenant, Cell: b.GetCell().GetName()})
	if _, is := copyOf(b.GetTransfer()); err == nil && is {
		err = t.keepCopy(info.ID)
	} else if err == nil {
		err = t.hold(which, info.ID)
	}
	if err != nil {
		return nil, t.why(which, err)
	}
	receivedPoint.Hit()
	return connect.NewResponse(&pb.PushResponse{Checkpoint: info.ID, Size: info.Size}), nil
}

// pieces takes what a stream has of a file, from a byte on.
func (t *transfers) pieces(in *connect.ClientStream[pb.PushRequest], which reserved, arrival *checkpoint.Arrival, at int64) error {
	for in.Receive() {
		piece := in.Msg().GetData()
		if len(piece) > pushPiece {
			return cell.Errorf(cell.Invalid, "a message has %d bytes of the file; %d is the most", len(piece), pushPiece)
		}
		if err := arrival.Append(at, piece); err != nil {
			return t.why(which, err)
		}
		at += int64(len(piece))
	}
	return in.Err() // another call goes on
}

// Pushed implements the call.
func (t *transfers) Pushed(ctx context.Context, r *connect.Request[pb.PushedRequest]) (*connect.Response[pb.PushedResponse], error) {
	if t.checkpoints == nil {
		return nil, errNoCheckpoints
	}
	return connect.NewResponse(&pb.PushedResponse{Offset: t.checkpoints.Archive.Arriving(reserved{peerOf(ctx).node, r.Msg.GetTransfer()}.arrival())}), nil
}

// Activate implements the call. It goes on when who has asked is gone: the cell has no other node then.
func (t *transfers) Activate(ctx context.Context, r *connect.Request[pb.ActivateRequest]) (*connect.Response[pb.ActivateResponse], error) {
	carried, kept, err := carriedOf(r.Msg)
	if err != nil {
		return nil, err
	}
	before, err := comeBy(r.Msg.GetBefore(), peerOf(ctx).node)
	if err != nil {
		return nil, err
	}
	v := t.take(reserved{peerOf(ctx).node, r.Msg.GetMigration()})
	if v == nil {
		return nil, t.gone(reserved{migration: r.Msg.GetMigration()})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), arriveWithin)
	defer cancel()
	a := v.entry.key.address()
	release := t.fabric.Hand(a)
	defer release()
	v.entry.came, v.entry.before = r.Msg.GetCheckpoint(), before
	v.kept, v.given = kept, r.Msg.GetGiven()
	v.entry.restarts = r.Msg.GetRestarts()
	err = t.arrive(ctx, v, r.Msg.GetCheckpoint(), carried, func(ctx context.Context) (uint64, error) { return t.activate(ctx, a, r.Msg.GetEpoch()) })
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ActivateResponse{Report: t.report(ctx, v.entry)}), nil
}

// carriedOf reads what goes with a cell beside its state.
func carriedOf(r *pb.ActivateRequest) (*actors.Carried, []cell.Item, error) {
	carried := &actors.Carried{}
	if err := carried.UnmarshalBinary(r.GetCarried()); err != nil {
		return nil, nil, cell.Errorf(cell.Invalid, "what the cell's actor goes on with: %v", err)
	}
	if err := validGiven(r.GetGiven()); err != nil {
		return nil, nil, err
	}
	kept, err := itemsOf(r.GetKept())
	return carried, kept, err
}

// itemsOf reads items of a cell that another node had.
func itemsOf(sent []*pb.Item) ([]cell.Item, error) {
	items := make([]cell.Item, 0, len(sent))
	for _, one := range sent {
		i, err := itemOf(one)
		if err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	return items, nil
}

func itemOf(sent *pb.Item) (i cell.Item, err error) {
	i.ID = sent.GetRequestId()
	failed := sent.GetError()
	if failed == nil {
		i.Value, err = valueOf(sent.GetPost())
		return i, err
	}
	if !errors.As(fault.FromDetail(failed), &i.Err) {
		return i, cell.Errorf(cell.Invalid, "an error of the kind %.64q is none of a cell's", failed.GetKind())
	}
	return i, nil
}

// activate makes this node the owner, and returns the epoch in which it is.
func (t *transfers) activate(ctx context.Context, a actors.Address, epoch uint64) (uint64, error) {
	place, err := t.fabric.Activate(ctx, a, epoch)
	if errors.Is(err, fault.ErrUnavailable) {
		place, err = t.fabric.Decided(ctx, a, epoch)
	}
	switch {
	case err != nil:
		return 0, err
	case place.Node != t.fabric.Self():
		return 0, fmt.Errorf("%w: node %s has cell %s, and not this one", policystore.ErrConflict, place.Node, a)
	}
	return place.Epoch, nil
}

// arrive has what was reserved be the cell, from a checkpoint, in the epoch that owns returns when this node
// is its owner, which it may be from before, by v.owned. When it fails this node is not, and nothing is left of
// it: it has yielded before the actor gave the name up, which would be for all.
func (t *transfers) arrive(ctx context.Context, v *reservation, id string, carried *actors.Carried, owns func(context.Context) (uint64, error)) (err error) {
	e := v.entry
	arrived := false
	defer func() { // also when something panics
		if !arrived {
			t.giveOn(ctx, v)
			t.drop(v, "it could not go on here")
			return
		}
		t.letGo(v)
		close(e.spawned)
	}()
	e.from, e.last = id, id
	t.ownCopy(id)
	plan := actors.Plan{Life: e.id, Of: e, Carried: carried, Topics: v.asked.GetTopics()}
	if plan.Restart, err = restartOf(v.asked.GetRestart(), v.began.Compiled.Restart); err != nil {
		return err
	}
	plan.Next = func(ctx context.Context, last uint64) (uint64, error) {
		if last != 0 {
			return t.fabric.Restart(ctx, e.key.address(), last)
		}
		epoch, err := owns(ctx)
		if err == nil {
			v.owned.Store(epoch)
			ownedPoint.Hit()
		}
		return epoch, err
	}
	plan.Start = func(ctx context.Context, epoch uint64) (cell.Cell, error) {
		if e.incarnation() == nil {
			return t.settle(ctx, v, epoch)
		}
		return t.startAgain(ctx, e, epoch)
	}
	t.book.arrived(e, t.claimedBy(e.key))
	if err := t.actors.Spawn(ctx, e.key.address(), plan); err != nil {
		return err
	}
	arrived = true
	return nil
}

// settle puts the state into what was reserved, and has it run. When that fails another node has the cell,
// or none.
func (t *transfers) settle(ctx context.Context, v *reservation, epoch uint64) (cell.Cell, error) {
	settled := false
	defer func() { // also when something panics
		if !settled {
			t.giveOn(ctx, v)
		}
	}()
	v.resident.session.Settle() // its subscriptions came after the session
	if err := t.putIn(ctx, v, epoch, v.entry.from); err != nil {
		return nil, err
	}
	filledPoint.Hit()
	t.runs(v.resident, epoch)
	runningPoint.Hit()
	t.fabric.Runs(v.entry.key.address())
	v.owned.Store(0) // the actor sees to it
	settled = true
	v.entry.kept.came(v.kept, v.given) // no sooner: the source has them still, and gives them out if it goes on there
	return v.resident.cell, nil
}

// giveOn yields a cell that this node owns for what was reserved, once.
func (t *transfers) giveOn(ctx context.Context, v *reservation) {
	if epoch := v.owned.Swap(0); epoch != 0 {
		t.yield(ctx, v.entry.key.address(), epoch)
	}
}

// yield gives up a cell that this node is the owner of and cannot run. It tries until it is agreed, or this
// node is no owner of anything.
func (t *transfers) yield(ctx context.Context, a actors.Address, epoch uint64) {
	ctx = context.WithoutCancel(ctx)
	for next := again[0]; t.ending.Err() == nil; next = min(2*next, time.Second) {
		place, err := t.fabric.Yield(ctx, a, epoch)
		yieldedPoint.Hit()
		if err == nil || !errors.Is(err, fault.ErrUnavailable) {
			t.logger.Warn("a cell could not go on here", slog.String("cell", a.String()), slog.String("node", place.Node), slog.Uint64("epoch", place.Epoch), slog.Any("error", err))
			return
		}
		if _, ok := t.fabric.Seat(t.fabric.Self()); !ok || !pause.For(t.ending, next) {
			return
		}
	}
}

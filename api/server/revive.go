package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

// Suspended cells that go on since somebody says so are here: any node is asked, and one with a copy of the
// checkpoint does it.

// Restore implements the call: the cell starts on the node that has the checkpoint. One that is suspended goes on
// where a copy of its checkpoint is.
func (s *everywhere) Restore(ctx context.Context, r *connect.Request[pb.RestoreRequest]) (*connect.Response[pb.RestoreResponse], error) {
	if isPassedOn(ctx) {
		return s.cells.Restore(ctx, r)
	}
	node, of := "", (*pb.CellRef)(nil)
	if r.Msg.GetId() != "" {
		if node, of = s.keeper(ctx, r.Msg.GetId()); of == nil {
			return s.cells.Restore(ctx, r) // which says that there is no such checkpoint
		}
	}
	k, err := s.restoredName(ctx, of, r.Msg)
	if err != nil {
		return nil, err
	}
	place, _, err := s.placeNow(ctx, k)
	if err != nil {
		return nil, err
	}
	asked := proto.CloneOf(r.Msg)
	asked.Tenant, asked.Name = k.tenant, k.name
	switch {
	case of == nil, place.isSuspended() && place.Checkpoint == asked.GetId():
		return s.revive(ctx, k, asked)
	case asked.GetRequestId() != "" && place.Node != "":
		// The same request may have come before, by way of another node that has the checkpoint, too.
		if answer, err := s.restoreAt(ctx, place.Node, asked); err == nil {
			return answer, nil
		}
	}
	return s.restoreAt(ctx, node, asked)
}

// restoredName is the name that a restored cell is to have; of is the cell that its checkpoint is of, nil: none is
// named.
func (s *cells) restoredName(ctx context.Context, of *pb.CellRef, r *pb.RestoreRequest) (cellKey, error) {
	if of != nil && r.GetTenant() == "" {
		r = &pb.RestoreRequest{Tenant: of.GetTenant(), Name: r.GetName()}
	}
	k, err := keyOf(ctx, r)
	if of != nil && k.name == "" {
		k.name = of.GetName()
	}
	if err == nil && k.name == "" {
		err = cell.Errorf(cell.Invalid, "name the checkpoint, or a cell that is suspended")
	}
	if err == nil {
		err = cell.ValidName("cell", k.name)
	}
	return k, err
}

// placeNow is where a cell is by all that was agreed.
func (s *cells) placeNow(ctx context.Context, k cellKey) (Place, bool, error) {
	if err := s.fabric.Refresh(ctx); err != nil {
		return Place{}, false, err
	}
	place, known := s.fabric.Find(k.address())
	return place, known, nil
}

func (s *everywhere) restoreAt(ctx context.Context, node string, r *pb.RestoreRequest) (*connect.Response[pb.RestoreResponse], error) {
	return at(ctx, s, node, r, s.cells.Restore, api.CellServiceClient.Restore)
}

// revive has a suspended cell go on at a node that can have it. What another has begun meanwhile is that one's, and
// its node knows whether it was by the same request.
func (s *everywhere) revive(ctx context.Context, k cellKey, r *pb.RestoreRequest) (*connect.Response[pb.RestoreResponse], error) {
	var without []string
	var last error
	for try := range maxFollowed {
		place, known, err := s.placeNow(ctx, k)
		if err != nil {
			return nil, err
		}
		node := place.Node
		switch {
		case !known:
			return nil, noneNamed(k)
		case place.isSuspended():
			node = s.holder(place, without)
			if node == "" {
				return nil, errors.Join(last, noHolder(place))
			}
		case node == "":
			return nil, &nobodys{place}
		}
		answer, err := s.restoreAt(ctx, node, r)
		switch {
		case err == nil:
			return answer, nil
		case errors.Is(fault.Answered(err), policystore.ErrConflict): // it has changed since
		case place.Node == "" && refusedByNode(err): // another may have room
			without = append(without, node)
		default:
			return nil, err
		}
		if last = err; !pause.For(ctx, again[min(try, 1)]) {
			break
		}
	}
	return nil, last
}

// holder is a node that a suspended cell can go on at: this one rather than others, and one that could not have it
// before only when there is no other; "": there is none.
func (s *everywhere) holder(p Place, without []string) (node string) {
	self, yielded := s.fabric.Self(), ""
	for _, n := range p.Copies {
		_, open := s.fabric.Seat(n)
		switch {
		case !open || slices.Contains(without, n):
		case slices.Contains(p.Yielded, n):
			if yielded == "" || n == self {
				yielded = n
			}
		case node == "" || n == self:
			node = n
		}
	}
	if node == "" {
		return yielded
	}
	return node
}

func noneNamed(k cellKey) error {
	return fmt.Errorf("%w: tenant %s has no cell named %s, running or suspended: to start one from a checkpoint, name that", policystore.ErrNotFound, k.tenant, k.name)
}

// noHolder is why nobody can have a suspended cell go on.
func noHolder(p Place) error {
	return cell.Errorf(cell.Busy, "no node that has a copy of its checkpoint can have it now: cell %s is suspended; %s", p.Address, p.goesOnBy())
}

// restoreNamed has a suspended cell go on here.
func (s *cells) restoreNamed(ctx context.Context, r *pb.RestoreRequest) (*connect.Response[pb.RestoreResponse], error) {
	switch {
	case s.checkpoints == nil:
		return nil, errNoCheckpoints
	case s.transfers == nil:
		return nil, cell.Errorf(cell.Invalid, "name a checkpoint: a cell's name alone is for those that a cluster has suspended")
	}
	if e, before, err := s.restoredBefore(ctx, r); before {
		return s.restoredAs(ctx, e, err)
	}
	k, err := s.restoredName(ctx, nil, r)
	if err != nil {
		return nil, err
	}
	id, err := restoreKey(ctx, k, r)
	if err != nil {
		return nil, err
	}
	e, err := s.transfers.adopt(ctx, k, id)
	return s.restoredAs(ctx, e, err)
}

// restoredBefore is the cell of a restore that has come before, of a name, or why there is none.
func (s *cells) restoredBefore(ctx context.Context, r *pb.RestoreRequest) (e *entry, before bool, err error) {
	if r.GetRequestId() == "" || r.GetName() == "" {
		return nil, false, nil
	}
	k, err := keyOf(ctx, r)
	if err != nil {
		return nil, true, err
	}
	id, err := restoreKey(ctx, k, r)
	if err != nil {
		return nil, true, err
	}
	if s.transfers != nil {
		if u := s.transfers.underWay(k); u != nil && u.by == id {
			if err := u.wait(ctx); err != nil {
				return nil, true, err
			}
		}
	}
	if e = s.book.by(k, id); e == nil {
		return nil, false, nil
	}
	return e, true, e.whenSpawned(ctx)
}

// waitsFor says whether a checkpoint is what a suspended cell goes on from: it is the same cell then, and none that
// begins with its state.
func (s *cells) waitsFor(k cellKey, id string) bool {
	if s.transfers == nil {
		return false
	}
	p, known := s.fabric.Find(k.address())
	return known && p.isSuspended() && p.Checkpoint == id
}

// restoring is a suspended cell that goes on here since somebody says so, until it runs.
type restoring struct {
	by   actors.ID     // the request; zero: it is like no other
	done chan struct{} // closed when err is set
	err  error
}

func (u *restoring) wait(ctx context.Context) error {
	select {
	case <-u.done:
		return u.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *transfers) underWay(k cellKey) *restoring {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.restores[k]
}

// adopt has a suspended cell go on here, of whose checkpoint this node has a copy, also when whoever asks for it
// goes away. Of several requests one has it.
func (t *transfers) adopt(ctx context.Context, k cellKey, by actors.ID) (*entry, error) {
	u := &restoring{by: by, done: make(chan struct{}), err: errNotBrought}
	t.mu.Lock()
	other, done := t.restores[k], t.book.by(k, by)
	if other == nil && done == nil {
		t.restores[k] = u
	}
	t.mu.Unlock()
	switch {
	case other != nil && other.by == by && by != (actors.ID{}): // it has come by another way, too
		if err := other.wait(ctx); err != nil {
			return nil, err
		}
		return t.book.find(k)
	case other != nil:
		return nil, lostTo(ctx, k, other)
	case done != nil:
		return done, done.whenSpawned(ctx)
	}
	defer func() { // also when something panics
		t.mu.Lock()
		delete(t.restores, k)
		t.mu.Unlock()
		close(u.done)
	}()
	var e *entry
	e, u.err = t.takeUp(ctx, k)
	if u.err == nil {
		t.book.restored(k, by)
	}
	return e, u.err
}

// lostTo is the error of who finds another restoring the same cell. When that one has failed it is worth another try.
func lostTo(ctx context.Context, k cellKey, other *restoring) error {
	if err := other.wait(ctx); err != nil {
		return fmt.Errorf("%w: another request could not restore cell %s: %w", policystore.ErrConflict, k, err)
	}
	return cell.Errorf(cell.Invalid, "cell %s is not suspended: another request has just restored it", k)
}

// takeUp is adopt for one at a time.
func (t *transfers) takeUp(ctx context.Context, k cellKey) (*entry, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), arriveWithin)
	defer cancel()
	p, known, err := t.placeNow(ctx, k)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, noneNamed(k)
	case p.Node != "":
		return nil, cell.Errorf(cell.Invalid, "cell %s is not suspended: node %s has it", k, p.Node)
	case !p.isSuspended() || !slices.Contains(p.Copies, t.fabric.Self()):
		return nil, fmt.Errorf("%w: node %s has no copy of the checkpoint of cell %s", policystore.ErrConflict, t.node(), k)
	}
	release := t.fabric.Hand(p.Address)
	defer release()
	own, err := t.fabric.Adopt(ctx, p.Address, p.Epoch)
	if err != nil {
		return nil, err
	}
	if err := t.goOn(ctx, own, false); err != nil {
		return nil, err
	}
	return t.book.find(k)
}

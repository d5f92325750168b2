package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/telemetry"
)

// Restore implements the call. It is a spawn by what the cell was spawned with, by whoever calls; or has a
// suspended cell go on.
func (s *cells) Restore(ctx context.Context, r *connect.Request[pb.RestoreRequest]) (*connect.Response[pb.RestoreResponse], error) {
	if r.Msg.GetId() == "" {
		return s.restoreNamed(ctx, r.Msg)
	}
	if e, before, err := s.restoredBefore(ctx, r.Msg); before {
		return s.restoredAs(ctx, e, err)
	}
	info, err := s.checkpointOf(ctx, r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	k, err := s.restoredKey(ctx, info.Header, r.Msg)
	if err != nil {
		return nil, err
	}
	id, err := restoreKey(ctx, k, r.Msg)
	if err != nil {
		return nil, err
	}
	asked, err := s.spawnedWith(info.ID, checkpoint.Expect{Tenant: info.Header.Tenant, Cell: r.Msg.GetCell(), Epoch: r.Msg.GetEpoch()})
	if err != nil {
		return nil, err
	}
	if s.waitsFor(k, info.ID) {
		e, err := s.transfers.adopt(ctx, k, id)
		return s.restoredAs(ctx, e, err)
	}
	t, err := s.termsOf(ctx, k.tenant, asked)
	if err != nil {
		return nil, err
	}
	t.backend, t.floor = "", cell.Backend(info.Header.Backend) // the policy may want a stronger one by now
	e, err := s.spawnOnce(ctx, func() *entry {
		e := newEntry(k, t, id)
		e.from, e.last = info.ID, info.ID
		return e
	}, asked)
	return s.restoredAs(ctx, e, err)
}

func (s *cells) restoredAs(ctx context.Context, e *entry, err error) (*connect.Response[pb.RestoreResponse], error) {
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RestoreResponse{Cell: e.key.ref(), Report: s.report(ctx, e)}), nil
}

// restoreKey is what a restore is known by when it comes again.
func restoreKey(ctx context.Context, k cellKey, r *pb.RestoreRequest) (actors.ID, error) {
	return requestKey(ctx, k, "Restore "+r.GetId(), r.GetRequestId())
}

// restoredKey names the new cell.
func (s *cells) restoredKey(ctx context.Context, h checkpoint.Header, r *pb.RestoreRequest) (cellKey, error) {
	k := cellKey{h.Tenant, r.GetName()}
	if k.name == "" {
		k.name = h.Cell
	}
	if t := r.GetTenant(); t != "" && t != h.Tenant {
		return k, cell.Errorf(cell.Invalid, "the checkpoint is of tenant %s, and is not restored for tenant %.64q", h.Tenant, t)
	}
	if n := r.GetNode(); n != "" && n != s.node() {
		return k, cell.Errorf(cell.Invalid, "the checkpoint is restored on the node that has it, %s: export it, and import it on node %.64q", s.node(), n)
	}
	if err := cell.ValidName("cell", k.name); err != nil {
		return k, err
	}
	return k, mayUse(principalOf(ctx), k.tenant)
}

// spawnedWith is the request that a checkpoint's cell was spawned by.
func (s *cells) spawnedWith(id string, e checkpoint.Expect) (*pb.SpawnRequest, error) {
	o, err := s.checkpoints.Archive.Open(id, e)
	if err != nil {
		return nil, s.worded(err)
	}
	asked := &pb.SpawnRequest{}
	err = proto.Unmarshal(o.Terms, asked)
	if err != nil {
		err = cell.Errorf(cell.Invalid, "the checkpoint does not say how its cell was spawned: %v", err)
	}
	return asked, errors.Join(err, o.Close())
}

// recorded is what of a request says how a cell is spawned, and is nobody else's.
func recorded(r *pb.SpawnRequest) *pb.SpawnRequest {
	place := r.GetPlacement()
	if place != nil { // where it first was is not where it has to be
		place = &pb.Placement{Labels: place.GetLabels(), Layers: place.GetLayers(), Strategy: place.GetStrategy()}
	}
	return &pb.SpawnRequest{Placement: place, Policy: r.GetPolicy(), Document: r.GetDocument(), AllowedImports: r.GetAllowedImports(), Backend: r.GetBackend(), Limits: r.GetLimits(),
		Restart: r.GetRestart(), Topics: r.GetTopics(), Checkpoint: r.GetCheckpoint()}
}

// stateOf is the checkpoint that the next incarnation begins with; "": with none.
func (s *cells) stateOf(e *entry, policy *document.Restart) string {
	e.mu.Lock()
	first, last := e.now == nil, e.last
	e.mu.Unlock()
	switch {
	case first:
		return e.from
	case e.asked.GetRestart() == nil && policy != nil && policy.Strategy == "checkpoint":
		return s.stillThere(e, last)
	}
	return ""
}

// stillThere is the newest checkpoint of a cell or, where that was removed since, the newest that was not; "": there
// is none.
func (s *cells) stillThere(e *entry, last string) string {
	if last == "" || s.checkpoints == nil {
		return last
	}
	archive := s.checkpoints.Archive
	if _, err := archive.Get(last); !errors.Is(err, checkpoint.ErrNotFound) {
		return last
	}
	id := ""
	for _, i := range archive.List(e.key.tenant, e.key.name) {
		if i.Header.Recipient() != "" { // it was sealed to somebody else
			continue
		}
		// An earlier cell may have had the name.
		if asked, err := s.spawnedWith(i.ID, checkpoint.Expect{}); err == nil && asked.GetRequestId() == e.id {
			id = i.ID
			break
		}
	}
	s.logger.Warn("a cell's newest checkpoint was removed: it is started again with an older one, or afresh", slog.String("cell", e.key.String()),
		slog.String("removed", last), slog.String("older", id))
	return id
}

// saved is told of the newest checkpoint of the cell.
func (e *entry) saved(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = id
}

// fill puts a checkpoint's state into an incarnation that is to begin with one; "" is none. Nothing has run in
// it, and it is under its policy. It ends when this fails.
func (s *cells) fill(ctx context.Context, r *resident, epoch uint64, id string) error {
	if id == "" {
		return nil
	}
	began := time.Now()
	size, err := s.fillFrom(ctx, r.cell, id)
	return s.filled(r, epoch, id, size, began, err)
}

// filled tells how a state was put into an incarnation, which ends when that has failed.
func (s *cells) filled(r *resident, epoch uint64, id string, size int64, began time.Time, err error) error {
	s.observer.Restored(telemetry.Checkpoint{Tenant: r.entry.key.tenant, Cell: r.entry.key.name, Epoch: epoch, ID: id, Size: size, Took: time.Since(began), Err: err})
	if err != nil {
		r.cell.Kill("its state could not be restored")
		if r.following != nil {
			r.following.Close()
		}
	}
	return s.worded(err)
}

func (s *cells) fillFrom(ctx context.Context, c cell.Cell, id string) (size int64, err error) {
	if s.checkpoints == nil {
		return 0, errNoCheckpoints
	}
	o, err := s.checkpoints.Archive.Open(id, checkpoint.Expect{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	return o.Info.Size, s.restore(ctx, c, o)
}

// restore puts what was opened into a cell that it may be put into.
func (s *cells) restore(ctx context.Context, c cell.Cell, o *checkpoint.Opened) error {
	h := o.Info.Header
	if own := cell.Backend(h.Backend); document.Stronger(own, c.Spec().Backend) {
		return cell.Errorf(cell.PolicyDenied, "the checkpoint is of backend %s, and %s is weaker", own, c.Spec().Backend)
	}
	if here := s.checkpoints.Python(); h.Python != here {
		return cell.Errorf(cell.Invalid, "the checkpoint needs Python %s, this node has %s: restore it on a node with that version", h.Python, here)
	}
	return c.Restore(ctx, o)
}

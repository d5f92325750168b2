package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/telemetry"
)

// Checkpoints is where a node keeps its cells' states.
type Checkpoints struct {
	// Archive keeps them; it is the caller's, to be closed over after the server.
	Archive *checkpoint.Archive
	// Python is the ABI of the node's cells, as "cpython-314"; "" while that is not known.
	Python func() string
	// Default is for cells for which neither who spawns them nor their policy says when.
	Default document.Checkpoint
}

// errNoCheckpoints is what calls answer that have nothing behind them.
var errNoCheckpoints = fmt.Errorf("%w: it keeps no checkpoints", fault.ErrUnimplemented)

// errNoMigration is of Migrate.
var errNoMigration = fmt.Errorf("%w: this node does not migrate cells: take a checkpoint, and restore it", fault.ErrUnimplemented)

// worded is an error of package checkpoint in the words of the API. Of a disk that is full the caller is told
// the node, and its log the file.
func (s *cells) worded(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		s.logger.Warn("the disk has no room for a checkpoint", slog.Any("error", err))
		return &fault.Hinted{Err: fmt.Errorf("%w: the disk of node %s is full: it can keep no more checkpoints", policystore.ErrLimited, s.node()),
			Hint: "make room there: remove checkpoints that nobody needs, or other files"}
	case errors.Is(err, checkpoint.ErrNotFound):
		return fmt.Errorf("%w: %w", policystore.ErrNotFound, err)
	case errors.Is(err, checkpoint.ErrFull):
		return fmt.Errorf("%w: %w", policystore.ErrLimited, err)
	case errors.Is(err, checkpoint.ErrDamaged), errors.Is(err, checkpoint.ErrTruncated):
		return fmt.Errorf("%w: %w", policystore.ErrCorrupt, err)
	case errors.Is(err, checkpoint.ErrPinned):
		return cell.Errorf(cell.Busy, "%v", err)
	case errors.Is(err, checkpoint.ErrOffset):
		return fmt.Errorf("%w: %w", policystore.ErrConflict, err)
	case errors.Is(err, checkpoint.ErrFormat), errors.Is(err, checkpoint.ErrKey), errors.Is(err, checkpoint.ErrMismatch), errors.Is(err, checkpoint.ErrTooLarge):
		return cell.Errorf(cell.Invalid, "%v", err)
	}
	return err
}

// Checkpoint implements the call.
func (s *cells) Checkpoint(ctx context.Context, r *connect.Request[pb.CheckpointRequest]) (*connect.Response[pb.CheckpointResponse], error) {
	if s.checkpoints == nil {
		return nil, errNoCheckpoints
	}
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	to, err := recipientOf(r.Msg.GetRecipient())
	if err != nil {
		return nil, s.worded(err)
	}
	reply := s.ask(ctx, found, r.Msg.GetRequestId(), 0, s.snapshot(found, "request", to, false))
	if reply.Err != nil {
		return nil, reply.Err
	}
	info, err := s.checkpoints.Archive.Get(string(reply.Value.Data))
	if err != nil { // it was removed since
		return nil, s.worded(err)
	}
	out := s.checkpointTo(info)
	if to == nil {
		if nodes := s.replicate(ctx, found.incarnation()); len(nodes) > 0 {
			out.Nodes = nodes
		}
	}
	return connect.NewResponse(&pb.CheckpointResponse{Checkpoint: out}), nil
}

func recipientOf(text string) (*checkpoint.Recipient, error) {
	if text == "" {
		return nil, nil
	}
	to, err := checkpoint.ParseRecipient(text)
	if err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	return to, nil
}

// snapshot has the state of a cell kept, for the actor of the cell to do. It is answered by the
// checkpoint's id. With freeze the cell does not go on.
func (s *cells) snapshot(e *entry, why string, to *checkpoint.Recipient, freeze bool) actors.Snapshot {
	return actors.Snapshot{Take: func(ctx context.Context, c cell.Checkpointer, epoch uint64) (cell.Value, error) {
		began := time.Now()
		info, err := s.save(ctx, e, c, epoch, saving{to: to, freeze: freeze})
		err = s.worded(err)
		s.observer.Checkpointed(telemetry.Checkpoint{Tenant: e.key.tenant, Cell: e.key.name, Epoch: epoch, ID: info.ID, Size: info.Size, Why: why, Took: time.Since(began), Err: err})
		if err == nil && to == nil {
			e.saved(info.ID)
		}
		return cell.BytesValue([]byte(info.ID)), err
	}}
}

// saving is how a state is kept.
type saving struct {
	to      *checkpoint.Recipient // nil: by the node's own keys
	freeze  bool                  // the cell does not go on
	mirror  checkpoint.Mirror     // to which the file is written, too; nil: to none
	written func()                // the mirror has all of it; nil: nobody wants to know
}

// save takes the state out and seals it as it comes. The cell goes on before it is on the disk, and
// nothing is begun in it before that.
func (s *cells) save(ctx context.Context, e *entry, c cell.Checkpointer, epoch uint64, how saving) (checkpoint.Info, error) {
	r := e.incarnation()
	asked := proto.CloneOf(e.asked)
	asked.RequestId = e.id // whose state it is; a restored cell has another
	terms, err := proto.MarshalOptions{Deterministic: true}.Marshal(asked)
	if err != nil {
		return checkpoint.Info{}, fmt.Errorf("how cell %s was spawned: %w", e.key, err)
	}
	now := r.Began()
	h := checkpoint.Header{Tenant: e.key.tenant, Cell: e.key.name, Epoch: epoch, Python: s.checkpoints.Python(), Policy: now.Policy, Version: now.Version,
		Backend: string(r.cell.Spec().Backend), Created: time.Now().UTC()}
	var out *checkpoint.Sealing
	if how.mirror != nil {
		out, err = s.checkpoints.Archive.SealMirrored(h, terms, how.mirror)
	} else {
		out, err = s.checkpoints.Archive.Seal(h, terms, how.to)
	}
	if err != nil {
		return checkpoint.Info{}, err
	}
	kept := func() {}
	if how.to == nil { // the cell can go on from it
		kept = e.touched.reset()
	}
	taken, err := c.Snapshot(ctx, func(chunk []byte) error {
		_, err := out.Write(chunk)
		return err
	})
	if err == nil && !how.freeze {
		err = c.Thaw(context.WithoutCancel(ctx))
	}
	if err == nil && taken.Python != h.Python {
		err = fmt.Errorf("the cell's state needs %q, and the node's Python is %q", taken.Python, h.Python)
	}
	if err != nil {
		kept()
		return checkpoint.Info{}, errors.Join(err, out.Discard())
	}
	if out.End() == nil && how.written != nil {
		how.written()
	}
	info, err := out.Keep()
	if err != nil {
		kept()
	}
	return info, err
}

// ListCheckpoints implements the call.
func (s *cells) ListCheckpoints(ctx context.Context, r *connect.Request[pb.ListCheckpointsRequest]) (*connect.Response[pb.ListCheckpointsResponse], error) {
	if s.checkpoints == nil {
		return nil, errNoCheckpoints
	}
	p, tenant := principalOf(ctx), r.Msg.GetTenant()
	if tenant == "" {
		tenant = p.Tenant
	}
	if err := mayUse(p, tenant); err != nil {
		return nil, err
	}
	out := &pb.ListCheckpointsResponse{}
	for _, i := range s.checkpoints.Archive.List(tenant, r.Msg.GetName()) {
		out.Checkpoints = append(out.Checkpoints, s.checkpointTo(i))
	}
	return connect.NewResponse(out), nil
}

// DeleteCheckpoint implements the call.
func (s *cells) DeleteCheckpoint(ctx context.Context, r *connect.Request[pb.DeleteCheckpointRequest]) (*connect.Response[pb.DeleteCheckpointResponse], error) {
	info, err := s.checkpointOf(ctx, r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	if err := s.checkpoints.Archive.Remove(info.ID); err != nil {
		return nil, s.worded(err)
	}
	return connect.NewResponse(&pb.DeleteCheckpointResponse{}), nil
}

// checkpointOf is one that the caller may use. Of others' he does not learn whether they are there.
func (s *cells) checkpointOf(ctx context.Context, id string) (checkpoint.Info, error) {
	if s.checkpoints == nil {
		return checkpoint.Info{}, errNoCheckpoints
	}
	info, err := s.checkpoints.Archive.Get(id)
	if err == nil && !principalOf(ctx).Covers(info.Header.Tenant) {
		err = fmt.Errorf("%w: %.80q", checkpoint.ErrNotFound, id)
	}
	return info, s.worded(err)
}

// checkpointTo is what can be known of one.
func (s *cells) checkpointTo(i checkpoint.Info) *pb.CheckpointInfo {
	h := i.Header
	out := &pb.CheckpointInfo{Id: i.ID, Cell: &pb.CellRef{Tenant: text(h.Tenant), Name: text(h.Cell)}, Epoch: h.Epoch, Size: i.Size, At: moment(h.Created),
		Python: text(h.Python), Backend: text(h.Backend), Recipient: text(h.Recipient()), Nodes: []string{s.node()}}
	if h.Policy != "" {
		out.Policy = &pb.PolicyRef{Name: text(h.Policy), Version: h.Version}
	}
	return out
}

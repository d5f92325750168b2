package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/checkpoint"
)

// copyTransfer begins the names of transfers of copies, which nothing is reserved for, and of what Cancel is to
// remove of them.
const copyTransfer = "copy-"

// replica is a checkpoint that this node keeps for a cell of another.
type replica struct {
	release func() // it may be removed, if the cluster does not count on it
	look    *time.Timer
}

// keepCopy keeps what was sent here as a copy, until the cluster does not count on it: it is held until there
// was time for that to be agreed.
func (t *transfers) keepCopy(id string) error {
	release, err := t.checkpoints.Archive.Hold(id)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.replicas[id]; old != nil {
		old.look.Stop()
		old.release()
	}
	t.replicas[id] = &replica{release: release, look: time.AfterFunc(reservedFor, func() { t.lookAfter(id) })}
	return nil
}

// lookAfter removes a copy that is not needed any more, as far as is agreed by now; else it looks again later.
func (t *transfers) lookAfter(id string) {
	t.mu.Lock()
	one := t.replicas[id]
	t.mu.Unlock()
	if one == nil || t.ending.Err() != nil {
		return
	}
	unknown := t.fabric.Refresh(t.ending) // else it looks as if nobody counted on what was agreed just now
	t.mu.Lock()
	kept := t.replicas[id] == one
	if kept && unknown != nil {
		one.look.Reset(reservedFor)
	}
	t.mu.Unlock()
	if !kept || unknown != nil { // it is this node's own by now, or came once more
		return
	}
	one.release()
	err := t.checkpoints.Archive.Remove(id)
	pinned := errors.Is(err, checkpoint.ErrPinned)
	switch {
	case err == nil:
		t.logger.Info("a copy of a checkpoint is removed: the cluster does not count on it", slog.String("checkpoint", id))
	case !pinned && !errors.Is(err, checkpoint.ErrNotFound):
		t.logger.Warn("a copy of a checkpoint that nobody needs stays here", slog.String("checkpoint", id), slog.Any("error", err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.replicas[id] != one: // it has come once more, and is looked after for itself
	case pinned:
		one.look.Reset(reservedFor)
	default:
		delete(t.replicas, id)
	}
}

// ownCopy has a file not be a copy any more: its cell is this node's, or it is gone.
func (t *transfers) ownCopy(id string) {
	t.mu.Lock()
	one := t.replicas[id]
	delete(t.replicas, id)
	t.mu.Unlock()
	if one != nil {
		one.look.Stop()
		one.release()
	}
}

// cancelCopy removes a copy that its cell's node does not want to be kept any more. It stays where the cluster
// counts on it.
func (t *transfers) cancelCopy(ctx context.Context, id, from string) error {
	info, err := t.checkpoints.Archive.Get(id)
	if err != nil {
		t.ownCopy(id)
		return nil //nolint:nilerror // it is gone
	}
	if err := t.fabric.Refresh(ctx); err != nil { // what is agreed by now has to be known here
		return err
	}
	t.mu.Lock()
	_, kept := t.replicas[id]
	t.mu.Unlock()
	if !kept { // it is this node's own by now, or this node has begun anew since: it is old some day
		return nil
	}
	place, known := t.fabric.Find(cellKey{info.Header.Tenant, info.Header.Cell}.address())
	if known && (place.Node != from || place.Needs(t.fabric.Self(), id)) {
		return nil
	}
	t.ownCopy(id)
	if err := t.checkpoints.Archive.Remove(id); err != nil {
		t.logger.Info("a copy of a checkpoint stays here", slog.String("checkpoint", id), slog.String("from", from), slog.Any("error", err))
	}
	return nil
}

// copyOf is the checkpoint that a transfer of a copy names; false: it is none.
func copyOf(transfer string) (id string, is bool) { return strings.CutPrefix(transfer, copyTransfer) }

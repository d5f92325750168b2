package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/cluster/schedule"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry"
)

const (
	// replicateWithin bounds how long all copies of one checkpoint may take.
	replicateWithin = time.Minute
	// lookedAfter is how often it is looked whether the nodes that have copies are still there.
	lookedAfter = 5 * time.Second
)

// replicate has other nodes keep the newest checkpoint of a cell, as many as its policy says, and the cluster
// count on them. It returns the nodes that the cluster counts on; that they are fewer than wanted is told of.
// Nothing of it is in the way of what runs in the cell. Without copies the cluster counts on nothing of a cell but what
// it moved with, if it has, and that gives way to what is newer.
func (s *cells) replicate(ctx context.Context, r *resident) (nodes []string) {
	e := r.entry
	if s.fabric == nil {
		return nil
	}
	if now, _ := s.fabric.Find(e.key.address()); r.saving.Replicas == 0 && now.Checkpoint == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(asNode(ctx, s.node()), replicateWithin)
	defer cancel()
	select {
	case e.copying <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-e.copying }()
	began, id, epoch := time.Now(), e.newest(), e.at()
	before, _ := s.fabric.Find(e.key.address())
	if id == "" || before.Checkpoint == id && before.Before == "" && len(s.heirs(before.Copies))+1 > r.saving.Replicas {
		return before.Copies
	}
	nodes, err := s.copies(ctx, r, id, epoch, before)
	s.sayCopies(r, telemetry.Replication{Tenant: e.key.tenant, Cell: e.key.name, Epoch: epoch, ID: id, Wanted: r.saving.Replicas, Copies: max(len(nodes)-1, 0), Took: time.Since(began), Err: err})
	return nodes
}

// sayCopies tells how it went, and not again when that is as before for the same checkpoint.
func (s *cells) sayCopies(r *resident, now telemetry.Replication) {
	if now.Wanted == 0 {
		if now.Err != nil {
			s.logger.Warn("a cell would go on from its move, and not from a newer checkpoint", slog.String("cell", r.entry.key.String()), slog.String("checkpoint", now.ID), slog.Any("error", now.Err))
		}
		return
	}
	said := fmt.Sprintf("%s %d", now.ID, now.Copies)
	if r.entry.saidCopies == said {
		return
	}
	r.entry.saidCopies = said
	s.observer.Replicated(now)
	if now.Copies < now.Wanted {
		s.logger.Warn("a checkpoint has fewer copies than it is to have", slog.String("cell", r.entry.key.String()), slog.String("checkpoint", now.ID),
			slog.Int("copies", now.Copies), slog.Int("wanted", now.Wanted), slog.Any("error", now.Err))
	}
}

// copies sends a checkpoint to other nodes, and has it agreed who has it. The error says why there are not as
// many as wanted; without nodes it was not agreed.
func (s *cells) copies(ctx context.Context, r *resident, id string, epoch uint64, before Place) (nodes []string, err error) {
	held, err := s.checkpoints.Archive.Hold(id)
	if err != nil {
		return nil, s.worded(err)
	}
	defer held()
	info, err := s.checkpoints.Archive.Get(id)
	if err != nil {
		return nil, s.worded(err)
	}
	nodes, short := s.spreadOut(ctx, r, info, before)
	if before.Epoch == epoch && before.Checkpoint == id && before.Before == "" && alike(nodes, before.Copies) {
		return before.Copies, short
	}
	a := r.entry.key.address()
	if err := s.fabric.Save(ctx, a, epoch, id, nodes); err != nil {
		if !errors.Is(err, fault.ErrUnavailable) { // or it may have been agreed
			s.dropCopies(ctx, id, nodes)
		}
		return nil, err
	}
	s.dropCopies(ctx, before.Checkpoint, slices.DeleteFunc(slices.Clone(before.Copies), func(n string) bool {
		return before.Checkpoint == id && slices.Contains(nodes, n)
	}))
	if before.Before != "" { // what counted before the cell came here, and cannot count again
		s.dropCopies(ctx, before.Before, before.BeforeCopies)
	}
	return nodes, short
}

// alike says whether both name the same nodes, in whatever order.
func alike(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(n string) bool { return !slices.Contains(b, n) })
}

// spreadOut sends a file to those that have the checkpoint before it, and to others in the place of those that
// cannot have the cell or do not take the file. Where there are no others, a copy with a node that cannot have the
// cell now is better than none. The first of the nodes is this one.
func (s *cells) spreadOut(ctx context.Context, r *resident, info checkpoint.Info, before Place) (nodes []string, short error) {
	self := s.fabric.Self()
	nodes = []string{self}
	without := []string{self}
	has := func(node string) bool { return before.Checkpoint == info.ID && slices.Contains(before.Copies, node) }
	earlier := s.heirs(before.Copies)
	for len(nodes) <= r.saving.Replicas {
		var to string
		if len(earlier) > 0 {
			to, earlier = earlier[0], earlier[1:]
		} else if chosen, err := s.fabric.Choose(ctx, s.wishOf(r), without); err == nil {
			to = chosen
		} else {
			short = errors.Join(short, err)
			break
		}
		without = append(without, to)
		if !has(to) {
			if err := s.pushCopy(ctx, r.entry.key, info, to); err != nil {
				short = errors.Join(short, fmt.Errorf("node %s: %w", to, err))
				continue
			}
		}
		nodes = append(nodes, to)
	}
	for _, n := range before.Copies {
		if _, there := s.fabric.Seat(n); len(nodes) <= r.saving.Replicas && there && has(n) && !slices.Contains(nodes, n) {
			nodes = append(nodes, n)
		}
	}
	return nodes, short
}

// heirs are those of the other nodes that could have a cell go on now.
func (s *cells) heirs(nodes []string) (heirs []string) {
	for _, n := range nodes {
		if _, there := s.fabric.Seat(n); there && n != s.fabric.Self() && s.fabric.Takes(n) {
			heirs = append(heirs, n)
		}
	}
	return heirs
}

// wishOf is what a cell needs of a node that is to have it one day.
func (s *cells) wishOf(r *resident) schedule.Wish {
	return schedule.Wish{Tenant: r.entry.key.tenant, Cell: r.entry.key.name, Backend: string(r.cell.Spec().Backend), Memory: r.limits().Memory}
}

// pushCopy sends a checkpoint's file to a node.
func (s *cells) pushCopy(ctx context.Context, k cellKey, info checkpoint.Info, to string) error {
	p := &push{cells: s, key: k, to: to, transfer: copyTransfer + newCellID()}
	return p.finish(ctx, info)
}

// dropCopies has other nodes remove a checkpoint that they were sent. What is not reached removes it by itself
// when the cluster does not count on it.
func (s *cells) dropCopies(ctx context.Context, id string, nodes []string) {
	for _, n := range nodes {
		if n == s.fabric.Self() {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, peerWithin)
		_, err := s.peers.of(n).transfers.Cancel(ctx, toPeer(ctx, &pb.CancelRequest{Migration: copyTransfer + id}))
		cancel()
		if err != nil {
			s.logger.Debug("a copy of a checkpoint stays for a while", slog.String("checkpoint", id), slog.String("node", n), slog.Any("error", err))
		}
	}
}

// asNode is for what a node asks of others by itself.
func asNode(ctx context.Context, node string) context.Context {
	return context.WithValue(ctx, principalKey{}, policystore.Principal{Name: "node:" + node, Role: policystore.Admin})
}

// newest is the newest checkpoint; "": there is none.
func (e *entry) newest() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.last
}

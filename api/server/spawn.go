package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// Spawn implements the call.
func (s *cells) Spawn(ctx context.Context, r *connect.Request[pb.SpawnRequest]) (*connect.Response[pb.SpawnResponse], error) {
	if err := refuseUnknown(r.Msg.ProtoReflect()); err != nil {
		return nil, err
	}
	k, err := keyOf(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	id, err := requestKey(ctx, k, "Spawn", r.Msg.GetRequestId())
	if err != nil {
		return nil, err
	}
	if k.name == "" {
		k.name = madeUp(id)
	}
	if err := cell.ValidName("cell", k.name); err != nil {
		return nil, err
	}
	if s.fabric == nil {
		if err := s.placedHere(k, r.Msg.GetPlacement()); err != nil {
			return nil, err
		}
	}
	t, err := s.termsOf(ctx, k.tenant, r.Msg)
	if err != nil {
		return nil, err
	}
	e, err := s.spawnOnce(ctx, func() *entry { return newEntry(k, t, id) }, r.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.SpawnResponse{Cell: &pb.CellRef{Tenant: k.tenant, Name: k.name}, Report: s.report(ctx, e)}), nil
}

// spawnOnce spawns, or waits for who does so by the same request. When that one has gone away before
// there was a cell, it takes over.
func (s *cells) spawnOnce(ctx context.Context, made func() *entry, r *pb.SpawnRequest) (*entry, error) {
	for {
		e := made()
		same, err := s.book.reserve(e)
		switch {
		case err != nil:
			return nil, err
		case same == nil:
			return e, s.spawn(ctx, e, r)
		}
		if err = same.whenSpawned(ctx); err == nil || ctx.Err() != nil || !same.abandoned {
			return same, err
		}
	}
}

// whenSpawned waits for the answer of who spawns it.
func (e *entry) whenSpawned(ctx context.Context) error {
	select {
	case <-e.spawned:
		return e.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spawn has an actor start what is reserved.
func (s *cells) spawn(ctx context.Context, e *entry, r *pb.SpawnRequest) error {
	e.failed = errNotBrought // if it panics
	defer func() {
		if e.failed != nil {
			s.book.withdraw(e)
		}
		close(e.spawned)
	}()
	err := s.begin(ctx, e, r)
	e.failed, e.abandoned = err, err != nil && ctx.Err() != nil
	return err
}

// begin is spawn but for what others are told of it.
func (s *cells) begin(ctx context.Context, e *entry, r *pb.SpawnRequest) error {
	if len(r.GetTopics()) > 64 {
		return cell.Errorf(cell.Invalid, "topics has %d names; 64 is the most", len(r.GetTopics()))
	}
	first, err := s.revision(ctx, holderOf(ctx), e.terms)
	if err != nil {
		return err
	}
	if _, err := s.checkpointing(r.GetCheckpoint(), nil); err != nil {
		return err
	}
	e.asked = recorded(r)
	restart, err := restartOf(r.GetRestart(), first.Compiled.Restart)
	if err != nil {
		return err
	}
	plan := actors.Plan{Life: e.id, Of: e, Restart: restart, Topics: r.GetTopics(), Next: s.epochs(e, first)}
	plan.Start = func(ctx context.Context, epoch uint64) (cell.Cell, error) {
		if e.incarnation() == nil {
			return s.start(ctx, e, epoch, first)
		}
		return s.startAgain(ctx, e, epoch)
	}
	return s.actors.Spawn(ctx, e.key.address(), plan)
}

// restartOf is what the client asks for, or else the policy.
func restartOf(asked *pb.Restart, policy *document.Restart) (actors.Restart, error) {
	switch {
	case asked.GetMax() > 1000:
		return actors.Restart{}, cell.Errorf(cell.Invalid, "restart.max is %d; 1000 is the most", asked.GetMax())
	case asked != nil:
		return actors.Restart{When: actors.When(asked.GetWhen()), Max: int(asked.GetMax())}, nil
	case policy == nil || policy.Strategy == "never":
		return actors.Restart{}, nil
	}
	return actors.Restart{When: actors.OnFailure, Max: policy.Max, Within: policy.Within}, nil
}

// startAgain makes the next incarnation, by the policy that is in force by now.
func (s *cells) startAgain(ctx context.Context, e *entry, epoch uint64) (cell.Cell, error) {
	now, err := s.revision(ctx, tenantHolder(e.key.tenant), e.terms)
	if err != nil {
		return nil, err
	}
	return s.start(ctx, e, epoch, now)
}

// start makes an incarnation and what belongs to it, or nothing.
func (s *cells) start(ctx context.Context, e *entry, epoch uint64, now live.Revision) (cell.Cell, error) {
	r, err := s.make(ctx, e, now)
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, r, epoch, s.stateOf(e, now.Compiled.Restart)); err != nil {
		r.session.Close()
		return nil, err
	}
	s.runs(r, epoch)
	return r.cell, nil
}

// make makes a cell under its policy in which nothing has run, and what belongs to it.
func (s *cells) make(ctx context.Context, e *entry, now live.Revision) (_ *resident, err error) {
	if err := e.terms.mayHave(now.Compiled.Backend, s.backend); err != nil {
		return nil, err
	}
	spec := cell.Spec{Tenant: e.key.tenant, Name: e.key.name, Backend: cmp.Or(e.terms.backend, s.backend)}
	if document.Stronger(e.terms.floor, spec.Backend) {
		spec.Backend = e.terms.floor
	}
	if err := now.Compiled.Apply(&spec); err != nil {
		return nil, err
	}
	if err := e.terms.narrow(&spec.Imports, &spec.Limits, now.Compiled, e.incarnation() == nil); err != nil {
		return nil, err
	}
	session, err := s.broker.Open(capability.Identity{Tenant: e.key.tenant, Cell: e.key.name},
		capability.Policy{Version: now.Version, Grants: now.Compiled.Grants})
	if err != nil {
		return nil, invalidGrant(e.terms.ref, err)
	}
	r := &resident{entry: e, actors: s.actors, session: session, inForce: now, given: spec.Limits}
	made := false
	defer func() { // also when something panics
		if !made {
			session.Close()
		}
	}()
	spec.Sink = r
	if r.cell, err = s.spawner.Spawn(ctx, spec); err != nil {
		return nil, err
	}
	if r.saving, err = s.checkpointing(e.asked.GetCheckpoint(), now.Compiled.Checkpoint); err != nil {
		r.cell.Kill("it cannot be checkpointed as it is to be")
		return nil, err
	}
	if r.saving != (document.Checkpoint{}) {
		e.touched.watch(r.saving.Messages)
		r.cell = &counting{r.cell, &e.touched}
	}
	if err := s.follow(ctx, r); err != nil {
		return nil, err
	}
	made = true
	return r, nil
}

// runs makes what was made the incarnation of its cell, and gives back what belongs to it at its end.
func (s *cells) runs(r *resident, epoch uint64) {
	r.entry.begun(epoch, r)
	s.book.ends.Go(func() {
		s.autosave(r)
		<-r.cell.Done()
		r.end()
	})
}

// follow has each newer version of a policy reach the cell, where that is wanted.
func (s *cells) follow(ctx context.Context, r *resident) (err error) {
	t := r.entry.terms
	if t.own != nil || t.ref.version != 0 {
		return nil
	}
	if r.following, err = s.reloader.Follow(ctx, t.ref.name, t.ref.sandbox, r); err != nil {
		r.cell.Kill("its policy could not be followed")
	}
	return err
}

// invalidGrant says in the words of the API that this node cannot grant what a policy does.
func invalidGrant(ref policyRef, err error) error {
	var e *capability.Error
	if errors.As(err, &e) && e.Kind == capability.Invalid {
		return cell.Errorf(cell.Invalid, "policy %s: %s", ref, e.Message)
	}
	return cell.Errorf(cell.Invalid, "policy %s: %v", ref, err)
}

// madeUp is a name that no cell has; of the same request it is the same.
func madeUp(id actors.ID) string {
	if id == (actors.ID{}) {
		_, _ = rand.Read(id[:]) // never fails
	}
	return "cell-" + hex.EncodeToString(id[:6])
}

// lingering is how long a cell that has ended is remembered, if not too many come after it.
const lingering = time.Hour

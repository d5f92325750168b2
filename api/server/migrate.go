package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry"
)

// toldEvery is how often whoever has a cell moved is told how far it is.
const toldEvery = 100 * time.Millisecond

// Migrate implements the call.
func (s *cells) Migrate(ctx context.Context, r *connect.Request[pb.MigrateRequest], out *connect.ServerStream[pb.MigrateResponse]) error {
	if !s.moves() {
		return errNoMigration
	}
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return err
	}
	to := r.Msg.GetNode()
	switch {
	case to == "":
		return cell.Errorf(cell.Invalid, "node is missing: name the node that the cell is to go to")
	case !pki.ValidName(to):
		return invalidNode(to)
	}
	if err := found.whenSpawned(ctx); err != nil { // it may have come here just now
		return err
	}
	ctx, m, err := s.beginMove(ctx, found, to)
	if err != nil {
		return err
	}
	defer m.end()
	over := make(chan error, 1)
	go func() { over <- m.run(ctx) }()
	if err = m.tell(out.Send, over); err == nil {
		return nil
	}
	m.cancel(err)
	return &goesOn{1, err} // it has begun: nobody begins another for the client, who would not hear what came of this one
}

// tell sends how far the move is until it is over, and returns how it was. When nobody listens any more the move
// is aborted if it can be, and waited for.
func (m *move) tell(send func(*pb.MigrateResponse) error, over <-chan error) error {
	again := time.NewTicker(toldEvery)
	defer again.Stop()
	for told := ""; ; {
		now, changed := m.at()
		if now.phase != told {
			told = now.phase
			if err := send(now.response()); err != nil {
				m.cancel(err)
				return errors.Join(err, <-over)
			}
			continue // it may be further by now
		}
		select {
		case err := <-over:
			now, _ = m.at()
			if failed := send(now.response()); err == nil {
				err = failed
			}
			return err
		case <-changed: // another phase, or one of many pieces
		case <-again.C:
			told = ""
		}
	}
}

func (s stage) response() *pb.MigrateResponse {
	return &pb.MigrateResponse{Phase: s.phase, Copied: s.copied, Size: s.size, Paused: durationpb.New(s.paused), Epoch: s.epoch, Node: s.node}
}

// told is the move for who observes.
func (m *move) told(s stage, err error) telemetry.Migration {
	return telemetry.Migration{Tenant: m.entry.key.tenant, Cell: m.entry.key.name, Epoch: s.epoch, From: m.cells.node(), To: m.to,
		Size: m.size, Paused: s.paused, Took: time.Since(m.began), Err: err}
}

// AbortMigration implements the call.
func (s *cells) AbortMigration(ctx context.Context, r *connect.Request[pb.AbortMigrationRequest]) (*connect.Response[pb.AbortMigrationResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	found.mu.Lock()
	m := found.move
	found.mu.Unlock()
	if m == nil {
		return nil, fmt.Errorf("%w: cell %s is not being moved", policystore.ErrNotFound, found.key)
	}
	m.cancel(errAborted)
	select {
	case <-m.over:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m.lost {
		return nil, m.err
	}
	if now, _ := m.at(); now.phase != aborting {
		return nil, fmt.Errorf("%w: cell %s has moved to node %s already", policystore.ErrConflict, found.key, m.to)
	}
	return connect.NewResponse(&pb.AbortMigrationResponse{}), nil
}

// Migrate implements the call: the node that has the cell moves it.
func (s *everywhere) Migrate(ctx context.Context, r *connect.Request[pb.MigrateRequest], out *connect.ServerStream[pb.MigrateResponse]) error {
	return passStream(ctx, s, r, out, s.cells.Migrate, api.CellServiceClient.Migrate)
}

// AbortMigration implements the call.
func (s *everywhere) AbortMigration(ctx context.Context, r *connect.Request[pb.AbortMigrationRequest]) (*connect.Response[pb.AbortMigrationResponse], error) {
	return pass(ctx, s, r, s.cells.AbortMigration, api.CellServiceClient.AbortMigration)
}

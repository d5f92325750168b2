package server

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// errNoCheckpoints is what calls answer that have no node behind them yet.
var errNoCheckpoints = connect.NewError(connect.CodeUnimplemented, errors.New("this node keeps no checkpoints: cells can be neither sealed, restored nor migrated"))

// Checkpoint implements the call.
func (*cells) Checkpoint(context.Context, *connect.Request[pb.CheckpointRequest]) (*connect.Response[pb.CheckpointResponse], error) {
	return nil, errNoCheckpoints
}

// ListCheckpoints implements the call.
func (*cells) ListCheckpoints(context.Context, *connect.Request[pb.ListCheckpointsRequest]) (*connect.Response[pb.ListCheckpointsResponse], error) {
	return nil, errNoCheckpoints
}

// Restore implements the call.
func (*cells) Restore(context.Context, *connect.Request[pb.RestoreRequest]) (*connect.Response[pb.RestoreResponse], error) {
	return nil, errNoCheckpoints
}

// Migrate implements the call.
func (*cells) Migrate(context.Context, *connect.Request[pb.MigrateRequest], *connect.ServerStream[pb.MigrateResponse]) error {
	return errNoCheckpoints
}

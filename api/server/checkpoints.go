package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// errNoCheckpoints is what calls answer that have nothing behind them yet.
var errNoCheckpoints = fmt.Errorf("%w: it keeps no checkpoints, and so cells can be neither sealed, restored nor migrated", fault.ErrUnimplemented)

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

package server

import (
	"context"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// backupWithin bounds for how long the store keeps what a backup has not sent yet.
const backupWithin = 10 * time.Minute

// Backup implements the call.
func (s *policies) Backup(ctx context.Context, _ *connect.Request[pb.BackupRequest], out *connect.ServerStream[pb.BackupResponse]) error {
	ctx, stop := context.WithTimeout(ctx, backupWithin)
	defer stop()
	if err := out.Send(nil); err != nil { // the client's call returns
		return err
	}
	return s.store.Backup(ctx, pieces{ctx, func(b []byte) error { return out.Send(&pb.BackupResponse{Piece: b}) }})
}

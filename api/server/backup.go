package server

import (
	"context"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

const (
	// maxPiece is of one message of a backup, in bytes.
	maxPiece = 256 << 10
	// backupWithin bounds for how long the store keeps what a backup has not sent yet.
	backupWithin = 10 * time.Minute
)

// Backup implements the call.
func (s *policies) Backup(ctx context.Context, _ *connect.Request[pb.BackupRequest], out *connect.ServerStream[pb.BackupResponse]) error {
	ctx, stop := context.WithTimeout(ctx, backupWithin)
	defer stop()
	if err := out.Send(nil); err != nil { // the client's call returns
		return err
	}
	return s.store.Backup(ctx, pieces{ctx, out.Send})
}

// pieces sends what is written, in messages.
type pieces struct {
	ctx  context.Context
	send func(*pb.BackupResponse) error
}

// Write implements io.Writer.
func (p pieces) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if err := context.Cause(p.ctx); err != nil {
			return n, err
		}
		piece := b[:min(len(b), maxPiece)]
		if err := p.send(&pb.BackupResponse{Piece: piece}); err != nil {
			return n, err
		}
		n += len(piece)
		b = b[len(piece):]
	}
	return n, nil
}

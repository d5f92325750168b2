package server

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/policystore"
)

const (
	// importPiece is the most that one message of a client's stream may have of a file.
	importPiece = 1 << 20
	// maxImport is the largest file that is taken in, in bytes, with what a stream puts around it.
	maxImport = checkpoint.MaxFile
)

// ExportCheckpoint implements the call.
func (s *cells) ExportCheckpoint(ctx context.Context, r *connect.Request[pb.ExportCheckpointRequest], out *connect.ServerStream[pb.ExportCheckpointResponse]) error {
	info, err := s.checkpointOf(ctx, r.Msg.GetId())
	if err != nil {
		return err
	}
	to, err := recipientOf(r.Msg.GetRecipient())
	if err != nil {
		return s.worded(err)
	}
	return s.worded(s.checkpoints.Archive.Export(info.ID, to, pieces{ctx, func(b []byte) error { return out.Send(&pb.ExportCheckpointResponse{Data: b}) }}))
}

// ImportCheckpoint implements the call.
func (s *cells) ImportCheckpoint(ctx context.Context, in *connect.ClientStream[pb.ImportCheckpointRequest]) (*connect.Response[pb.ImportCheckpointResponse], error) {
	if s.checkpoints == nil {
		return nil, errNoCheckpoints
	}
	from := &arriving{in: in}
	if !in.Receive() {
		return nil, errors.Join(fmt.Errorf("%w: there is no file", policystore.ErrInvalid), in.Err())
	}
	if err := from.take(in.Msg().GetData()); err != nil {
		return nil, err
	}
	identity, err := identityOf(ctx, in.Msg().GetIdentity())
	if err != nil {
		return nil, s.worded(err)
	}
	p := principalOf(ctx)
	info, err := s.checkpoints.Archive.Import(from, identity, func(h checkpoint.Header) error { return mayUse(p, h.Tenant) })
	if err != nil {
		return nil, s.worded(err)
	}
	return connect.NewResponse(&pb.ImportCheckpointResponse{Checkpoint: s.checkpointTo(info)}), nil
}

// identityOf reads what a file was sealed to. Anybody can seal to a recipient what he likes, and a
// state has code that no compiler has looked at: who may take in such a file is an admin.
func identityOf(ctx context.Context, text string) (*checkpoint.Identity, error) {
	if text == "" {
		return nil, nil
	}
	if p := principalOf(ctx); p.Role < policystore.Admin || p.Tenant != "" {
		return nil, fmt.Errorf("%w: to take in what others have sealed needs the role %s, of all tenants; %s is %s", policystore.ErrDenied, policystore.Admin, p.Name, p.Role)
	}
	identity, err := checkpoint.ParseIdentity(text)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return identity, nil
}

// arriving reads a file from messages.
type arriving struct {
	in   *connect.ClientStream[pb.ImportCheckpointRequest]
	rest []byte
}

func (a *arriving) take(piece []byte) error {
	if a.rest = piece; len(piece) > importPiece {
		return fmt.Errorf("%w: a message has %d bytes of the file; %d is the most", policystore.ErrInvalid, len(piece), importPiece)
	}
	return nil
}

// Read implements io.Reader.
func (a *arriving) Read(b []byte) (int, error) {
	for len(a.rest) == 0 {
		if !a.in.Receive() {
			switch err := a.in.Err(); {
			case err == nil:
				return 0, io.EOF
			case errors.Is(err, io.ErrUnexpectedEOF): // which readers take for the end of a file
				return 0, cell.Errorf(cell.Cancelled, "the stream of the file broke off: %v", err)
			default:
				return 0, err
			}
		}
		if err := a.take(a.in.Msg().GetData()); err != nil {
			return 0, err
		}
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

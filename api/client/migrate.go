package client

import (
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// Migrate moves a running cell to another node, and returns how that ended: where the cell is, in which
// epoch, and how long it paused. progress, which may be nil, is called with every step before that and
// with it, by this goroutine; it must not keep what it gets.
//
// When ctx ends the move is aborted, if that is still possible. An error of a node's is as any call's. A
// stream that ends without a word of the end of the move is io.ErrUnexpectedEOF: whether it was moved is
// not known, and Inspect tells. With an error the last step is returned, too; nil: there was none.
func (c *Client) Migrate(ctx context.Context, request *pb.MigrateRequest, progress func(*pb.MigrateResponse)) (last *pb.MigrateResponse, err error) {
	stream, err := c.Cells.Migrate(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		last = stream.Msg()
		if progress != nil {
			progress(last)
		}
	}
	switch err := stream.Err(); {
	case err != nil:
		return last, err
	case last.GetPhase() == "abort":
		return last, fmt.Errorf("client: the move of %s to %s was aborted: the cell goes on at %s", request.GetName(), request.GetNode(), last.GetNode())
	case last.GetPhase() != "done":
		return last, fmt.Errorf("client: the node said nothing of the end of the move of %s: %w", request.GetName(), io.ErrUnexpectedEOF)
	}
	return last, nil
}

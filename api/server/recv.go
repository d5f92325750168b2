package server

import (
	"context"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// Stream implements the call.
func (s *cells) Stream(ctx context.Context, r *connect.Request[pb.StreamRequest], out *connect.ServerStream[pb.StreamResponse]) error {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return err
	}
	if err := out.Send(nil); err != nil { // the client's call returns
		return err
	}
	f := feed{from: found, limit: r.Msg.GetLimit(), all: r.Msg.GetAll(), send: out.Send}
	return f.run(ctx)
}

// feed is one stream of what a cell says.
type feed struct {
	from  *resident
	limit uint64 // of posts and errors; 0: none
	all   bool
	send  func(*pb.StreamResponse) error

	at   uint64 // of the next saying
	more <-chan struct{}
}

// taken is an outbox item, or why there are no more.
type taken struct {
	item cell.Item
	err  error
}

// run ends with the limit, the cell or ctx.
func (f *feed) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	posts, ended := make(chan taken), make(chan struct{})
	go func() {
		defer close(ended)
		f.take(ctx, posts)
	}()
	defer func() { cancel(); <-ended }()
	for n := uint64(0); f.limit == 0 || n < f.limit; {
		if err := f.sayings(); err != nil {
			return err
		}
		select {
		case got := <-posts:
			// What was logged before it is there by now.
			if err := f.sayings(); err != nil {
				return err
			}
			if got.err != nil {
				return got.err
			}
			if err := f.send(itemOf(got.item)); err != nil {
				return err
			}
			n++
		case <-f.more:
		}
	}
	return nil
}

// take receives no more than the limit, so that nothing is taken that is not sent.
func (f *feed) take(ctx context.Context, posts chan<- taken) {
	for n := uint64(0); f.limit == 0 || n < f.limit; n++ {
		item, err := f.from.cell.Recv(ctx)
		select {
		case posts <- taken{item, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// sayings sends what else the cell has said, if that is wanted.
func (f *feed) sayings() error {
	if !f.all {
		return nil
	}
	items, lost, next, more := f.from.said.from(f.at)
	f.at, f.more = next, more
	if lost > 0 {
		if err := f.send(&pb.StreamResponse{Item: &pb.StreamResponse_Lost{Lost: lost}}); err != nil {
			return err
		}
	}
	for _, item := range items {
		if err := f.send(item); err != nil {
			return err
		}
	}
	return nil
}

func itemOf(i cell.Item) *pb.StreamResponse {
	if i.Err != nil {
		return &pb.StreamResponse{Item: &pb.StreamResponse_Error{Error: fault.Detail(i.Err)}}
	}
	v := &pb.Value{Kind: &pb.Value_Json{Json: string(i.Value.Data)}}
	if i.Value.Type == cell.Bytes {
		v = &pb.Value{Kind: &pb.Value_Raw{Raw: i.Value.Data}}
	}
	return &pb.StreamResponse{Item: &pb.StreamResponse_Post{Post: v}}
}

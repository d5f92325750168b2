package server

import (
	"context"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// maxReceived is how many items one answer has.
const maxReceived = 1000

// Recv implements the call.
func (s *cells) Recv(ctx context.Context, r *connect.Request[pb.RecvRequest]) (*connect.Response[pb.RecvResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	if r.Msg.GetMax() > maxReceived {
		return nil, cell.Errorf(cell.Invalid, "max is %d; %d is the most", r.Msg.GetMax(), maxReceived)
	}
	waiting, take := ctx, actors.Recv{Max: int(r.Msg.GetMax())}
	if r.Msg.GetWait() != nil {
		wait := r.Msg.GetWait().AsDuration()
		if take.AtOnce = wait <= 0; !take.AtOnce {
			var cancel context.CancelFunc
			waiting, cancel = context.WithTimeout(ctx, wait)
			defer cancel()
		}
	}
	items, err := s.receive(waiting, found, take)
	if err != nil && (waiting.Err() == nil || ctx.Err() != nil) {
		return nil, err
	}
	out := &pb.RecvResponse{}
	for _, one := range items {
		out.Items = append(out.Items, itemTo(one))
	}
	return connect.NewResponse(out), nil
}

func itemTo(i cell.Item) *pb.Item {
	if i.Err != nil {
		return &pb.Item{Item: &pb.Item_Error{Error: fault.Detail(i.Err)}, RequestId: text(i.ID)}
	}
	return &pb.Item{Item: &pb.Item_Post{Post: valueTo(i.Value)}}
}

// receive takes what the cell has posted, of whichever incarnation there is or will be.
func (s *cells) receive(ctx context.Context, e *entry, take actors.Recv) ([]cell.Item, error) {
	for {
		epoch := e.at()
		reply := s.ask(ctx, e, "", 0, take)
		if cell.KindOf(reply.Err) != cell.CellGone {
			return reply.Items, reply.Err
		}
		if take.AtOnce && !e.isFinal() {
			return nil, nil
		}
		if !e.next(ctx, max(epoch, reply.Epoch)) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, reply.Err
		}
	}
}

// atATime is how many items a stream takes at once.
const atATime = 32

// Stream implements the call.
func (s *cells) Stream(ctx context.Context, r *connect.Request[pb.StreamRequest], out *connect.ServerStream[pb.StreamResponse]) error {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return err
	}
	if err := out.Send(nil); err != nil { // the client's call returns
		return err
	}
	f := feed{cells: s, from: found, limit: r.Msg.GetLimit(), all: r.Msg.GetAll(), send: out.Send}
	return f.run(ctx)
}

// feed is one stream of what a cell says.
type feed struct {
	cells *cells
	from  *entry
	limit uint64 // of posts and errors; 0: none
	all   bool
	send  func(*pb.StreamResponse) error

	at   uint64 // of the next saying
	more <-chan struct{}
}

// taken are outbox items, or why there are no more.
type taken struct {
	items []cell.Item
	err   error
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
			for _, one := range got.items {
				if err := f.send(inStream(one)); err != nil {
					return err
				}
			}
			n += uint64(len(got.items))
		case <-f.more:
		}
	}
	return nil
}

// take receives no more than the limit, so that nothing is taken that is not sent.
func (f *feed) take(ctx context.Context, posts chan<- taken) {
	for n := uint64(0); f.limit == 0 || n < f.limit; {
		most := uint64(atATime)
		if f.limit > 0 {
			most = min(most, f.limit-n)
		}
		items, err := f.cells.receive(ctx, f.from, actors.Recv{Max: int(most)})
		select {
		case posts <- taken{items, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		n += uint64(len(items))
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
	for _, one := range items {
		if err := f.send(one.inStream()); err != nil {
			return err
		}
	}
	return nil
}

func inStream(i cell.Item) *pb.StreamResponse {
	if i.Err != nil {
		return &pb.StreamResponse{Item: &pb.StreamResponse_Error{Error: fault.Detail(i.Err)}}
	}
	return &pb.StreamResponse{Item: &pb.StreamResponse_Post{Post: valueTo(i.Value)}}
}

// Logs implements the call.
func (s *cells) Logs(ctx context.Context, r *connect.Request[pb.LogsRequest], out *connect.ServerStream[pb.LogsResponse]) error {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return err
	}
	if err := out.Send(nil); err != nil { // the client's call returns
		return err
	}
	over := !r.Msg.GetFollow()
	for at := uint64(0); ; {
		items, lost, next, more := found.said.from(at)
		at = next
		if lost > 0 {
			if err := out.Send(&pb.LogsResponse{Item: &pb.LogsResponse_Lost{Lost: lost}}); err != nil {
				return err
			}
		}
		for _, one := range items {
			if err := out.Send(one.inLogs()); err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		select {
		case <-more:
		case <-found.over:
			over = true // after what came before that
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

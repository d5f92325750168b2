package server

import (
	"context"
	"errors"
	"log/slog"

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
	if ctx.Err() != nil { // nobody is there to have them
		s.keep(found, items)
		return nil, ctx.Err()
	}
	answer := &pb.RecvResponse{Items: itemsTo(items)}
	if err := unreadOf(ctx).keep(answer); err != nil {
		s.keep(found, items)
		return nil, err
	}
	return connect.NewResponse(answer), nil
}

func itemsTo(items []cell.Item) (all []*pb.Item) {
	for _, one := range items {
		all = append(all, itemTo(one))
	}
	return all
}

func itemTo(i cell.Item) *pb.Item {
	if i.Err != nil {
		return &pb.Item{Item: &pb.Item_Error{Error: fault.Detail(i.Err)}, RequestId: text(i.ID)}
	}
	return &pb.Item{Item: &pb.Item_Post{Post: valueTo(i.Value)}}
}

// noneCame is why posts are lost that are too many to be kept.
const noneCame = "their receivers left, and none came to have them"

// keep has the next receiver have what this one was not given. Those of a cell that has moved are where it is.
func (s *cells) keep(e *entry, items []cell.Item) {
	s.lost(e, e.kept.put(items), noneCame)
	if e.wentTo() != "" && e.kept.sends() {
		s.book.ends.Go(func() { s.sendAfter(e) })
	}
}

// lost tells of posts that nobody will have.
func (s *cells) lost(e *entry, posts int, why string, more ...any) {
	if posts > 0 {
		s.logger.Warn("posts are lost: "+why, append([]any{slog.String("cell", e.key.String()), slog.Int("posts", posts)}, more...)...)
	}
}

// receive takes what the cell has posted, of whichever incarnation there is or will be, and
// before that what was taken and not sent.
func (s *cells) receive(ctx context.Context, e *entry, take actors.Recv) ([]cell.Item, error) {
	for {
		items, again, err := s.receiveFrom(ctx, e, take)
		if !again {
			return items, err
		}
	}
}

// receiveFrom takes from the incarnation that there is. Again: another follows, or items have
// been kept meanwhile.
func (s *cells) receiveFrom(ctx context.Context, e *entry, take actors.Recv) (items []cell.Item, again bool, err error) {
	if node := e.wentTo(); node != "" {
		return nil, false, actors.Elsewhere(e.key.address(), node)
	}
	waiting, wake := context.WithCancel(ctx)
	defer wake()
	items, leave := e.kept.take(take.Max, wake)
	if len(items) > 0 {
		return items, false, nil
	}
	defer leave()
	woken := func() bool { return waiting.Err() != nil && ctx.Err() == nil }
	epoch := e.at()
	reply := s.ask(waiting, e, "", 0, take)
	switch {
	case errors.Is(reply.Err, actors.ErrMoved):
		return nil, false, reply.Err
	case cell.KindOf(reply.Err) != cell.CellGone:
		return reply.Items, len(reply.Items) == 0 && woken(), reply.Err
	case take.AtOnce && !e.isFinal():
		return nil, woken(), nil
	case e.next(waiting, max(epoch, reply.Epoch)) || woken():
		return nil, true, nil
	case ctx.Err() != nil:
		return nil, false, ctx.Err()
	case e.wentTo() != "":
		return nil, true, nil
	}
	return nil, false, reply.Err
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
	f := feed{cells: s, from: found, limit: r.Msg.GetLimit(), all: r.Msg.GetAll(), send: out.Send, unread: unreadOf(ctx)}
	if err = f.run(ctx); errors.Is(err, actors.ErrMoved) {
		err = &goesOn{f.sent, err}
	}
	return err
}

// feed is one stream of what a cell says.
type feed struct {
	cells *cells
	from  *entry
	limit uint64 // of posts and errors; 0: none
	all   bool
	send  func(*pb.StreamResponse) error
	*unread

	sent uint64 // posts and errors
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
	wanted, posts, ended := make(chan int, 1), make(chan taken), make(chan struct{})
	go func() {
		defer close(ended)
		f.take(ctx, wanted, posts)
	}()
	defer func() { cancel(); <-ended }()
	asked := false // for what has not come
	for n := uint64(0); f.limit == 0 || n < f.limit; {
		if err := f.sayings(); err != nil {
			return err
		}
		if !asked { // no sooner than the last is sent
			wanted <- f.atOnce(n)
			asked = true
		}
		select {
		case got := <-posts:
			if err := f.pass(got); err != nil {
				return err
			}
			n, asked = n+uint64(len(got.items)), false
		case <-f.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// atOnce is how many items are taken together after n.
func (f *feed) atOnce(n uint64) int {
	if f.limit == 0 {
		return atATime
	}
	return int(min(atATime, f.limit-n))
}

// pass sends items. Those that it does not, the next receiver has; one that may have been sent
// in part is among them.
func (f *feed) pass(got taken) error {
	if err := f.sayings(); err != nil { // what was logged before them is there by now
		f.cells.keep(f.from, got.items)
		return err
	}
	give, err := f.hold(afterFirst(got.items))
	if err != nil {
		f.cells.keep(f.from, got.items)
		return err
	}
	defer give()
	for i, one := range got.items {
		if err := f.send(inStream(one)); err != nil {
			f.cells.keep(f.from, got.items[i:])
			return err
		}
		f.sent++
	}
	return got.err
}

// afterFirst is the size of what waits while the first is sent, which is counted there.
func afterFirst(items []cell.Item) (bytes int) {
	for i, one := range items {
		if i > 0 {
			bytes += size(one)
		}
	}
	return bytes
}

// take receives as many as are wanted, when they are, until ctx ends.
func (f *feed) take(ctx context.Context, wanted <-chan int, posts chan<- taken) {
	for {
		select {
		case most := <-wanted:
			items, err := f.cells.receive(ctx, f.from, actors.Recv{Max: most})
			select {
			case posts <- taken{items, err}:
			case <-ctx.Done():
				f.cells.keep(f.from, items)
				return
			}
		case <-ctx.Done():
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
			if node := found.wentTo(); node != "" {
				return actors.Elsewhere(found.key.address(), node)
			}
			over = true // after what came before that
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

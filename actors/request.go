package actors

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// request is an envelope on its way to an actor of this node, and back.
type request struct {
	env  Envelope
	sent time.Time
	ctx  context.Context // ends when the answer is of no use any more
	end  context.CancelFunc

	taken   atomic.Bool // by the actor, so that somebody answers
	once    sync.Once
	replied chan Reply
	leave   func() // gives the credit back

	moved *atomic.Pointer[Moved] // where the actor's cell is; nil: it does not move
	here  bool                   // it is for the cell on this node alone

	// turn is what who waits for the answer is to do himself, when its time has come; nil: he
	// does nothing.
	turn  chan func()
	stage atomic.Int32
}

// The stages of a request with a turn.
const (
	waited int32 = iota // for
	handed              // over
	left                // alone: nobody waits any more
)

// handOver gives what is to be done to who waits for it.
func (r *request) handOver(do func()) bool {
	if r.turn == nil || !r.stage.CompareAndSwap(waited, handed) {
		return false
	}
	r.turn <- do // there is room for one
	return true
}

// withdrawn tells an actor that a request's time is over.
type withdrawn struct{ of *request }

// IgnoreDeadLetterLogging: what is not delivered is logged here, not by protoactor.
func (*request) IgnoreDeadLetterLogging()   {}
func (*withdrawn) IgnoreDeadLetterLogging() {}

func newRequest(ctx context.Context, env Envelope, leave func()) *request {
	r := &request{env: env, sent: time.Now(), ctx: ctx, end: func() {}, replied: make(chan Reply, 1), leave: leave}
	if own, has := ctx.Deadline(); !env.Deadline.IsZero() && (!has || env.Deadline.Before(own)) {
		r.ctx, r.end = context.WithDeadline(ctx, env.Deadline)
	}
	return r
}

// answer is for the first who has one.
func (r *request) answer(reply Reply) {
	r.once.Do(func() {
		r.leave()
		r.replied <- reply
		r.end() // whoever sees this sees the answer
	})
}

func (r *request) fail(epoch uint64, err error) { r.answer(Reply{Epoch: epoch, Err: err}) }

// ended is the error of what no actor takes.
func (r *request) ended() error {
	if r.moved != nil {
		if to := r.moved.Load(); to != nil {
			return Elsewhere(r.env.To, to.Node)
		}
	}
	return cell.Errorf(cell.CellGone, "cell %s has ended", r.env.To)
}

// late is the error of a request that is not worth beginning any more, or nil.
func (r *request) late() error { return r.over("it began") }

// over is the error of a request whose time was over before something, or nil.
func (r *request) over(before string) error {
	err := r.ctx.Err()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return cell.Errorf(cell.Timeout, "its time was over before %s", before)
	default:
		return cell.Errorf(cell.Cancelled, "before %s: %v", before, context.Cause(r.ctx))
	}
}

// answerGrace is how much longer than its deadline a request is waited for: what runs is
// interrupted then, and says so.
const answerGrace = 10 * time.Second

// wait returns the answer, or what is known without one.
func (r *request) wait(s *System, at Entry) Reply {
	select {
	case reply := <-r.replied:
		return reply
	case do := <-r.turn:
		do()
		return <-r.replied
	case <-at.gone:
		if !r.taken.Load() { // nor will it be
			r.fail(0, r.ended())
		}
	case <-r.ctx.Done():
		if reply, answered := r.expire(s, at); answered {
			return reply
		}
	}
	late := time.NewTimer(answerGrace)
	defer late.Stop()
	select {
	case reply := <-r.replied:
		return reply
	case do := <-r.turn:
		do()
		return <-r.replied
	case <-late.C:
	}
	if r.turn != nil && !r.stage.CompareAndSwap(waited, left) {
		(<-r.turn)()
	}
	r.fail(0, cell.Errorf(cell.UnknownOutcome, "no answer came; it may have been done"))
	return <-r.replied // another's may have come at last
}

// expire is called when the request's time is over. It may be that an answer is there, or that none is needed.
func (r *request) expire(s *System, at Entry) (Reply, bool) {
	select {
	case reply := <-r.replied:
		return reply, true
	default:
	}
	if r.env.Body.line() == looks { // it changes nothing; its credit is given back when the cell has told
		return Reply{Err: r.over("the cell told of itself")}, true
	}
	s.root.Send(at.PID, &withdrawn{r}) // it may not have begun
	return Reply{}, false
}

// perform does what a body says to a cell.
func perform(ctx context.Context, c cell.Cell, epoch uint64, b Body) (r Reply) {
	defer recovered(&r.Err)
	switch b := b.(type) {
	case Exec:
		r.Err = c.Exec(ctx, b.Source)
	case Call:
		r.Value, r.Err = c.Call(ctx, b.Invocation)
	case Post:
		r.Err = c.Send(ctx, b.Value)
	case Snapshot:
		r.Value, r.Err = b.Take(ctx, c, epoch)
	case Recv:
		r.Items, r.Err = receive(ctx, c, b)
	case Inspect:
		r.Report, r.Err = c.Inspect(ctx)
	case Reload:
		r.Reloaded, r.Err = c.Reload(ctx, b.Revision)
	case Quarantine:
		r.Err = c.Quarantine(ctx, b.Reason)
	case Kill:
		c.Kill(b.Reason)
	case Close:
		r.Err = c.Close(ctx)
	default:
		r.Err = cell.Errorf(cell.Invalid, "a body of type %T is not known", b)
	}
	return r
}

// recvBytes is when an answer to Recv has enough.
const recvBytes = 1 << 20

// past has ended: with it a cell gives what is there.
var past = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// receive takes items. What it has taken it returns, and no error then.
func receive(ctx context.Context, c cell.Cell, b Recv) (items []cell.Item, err error) {
	if b.AtOnce {
		ctx = past
	}
	item, err := c.Recv(ctx)
	if err != nil {
		if b.AtOnce && errors.Is(err, cell.Cancelled) {
			err = nil
		}
		return nil, err
	}
	for bytes := 0; ; {
		items = append(items, item)
		if bytes += len(item.Value.Data); len(items) >= b.Max || bytes >= recvBytes {
			return items, nil
		}
		if item, err = c.Recv(past); err != nil {
			return items, nil
		}
	}
}

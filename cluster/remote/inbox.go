package remote

import (
	"context"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
	"github.com/pyisolate/pyisolate/internal/pause"
)

// inbox is the one process of the actor system that listens. What it is sent it handles at once,
// with the goroutine that read it: a peer that sends too fast finds the connection full.
type inbox struct{ remote *Remote }

var _ actor.Process = (*inbox)(nil)

// SendUserMessage implements actor.Process. It does not block.
func (i *inbox) SendUserMessage(_ *actor.PID, message any) {
	header, m, _ := actor.UnwrapEnvelope(message)
	if header == nil {
		return
	}
	from := asker{header.Get(headerNode), header.Get(headerSession)}
	if from.node == "" {
		return // it came through no guard
	}
	switch m := m.(type) {
	case *envelope.CellEnvelope:
		i.remote.asks(from, m)
	case *envelope.CellReply:
		i.remote.answers(from, m)
	case *envelope.TopicUpdate:
		i.remote.topics.update(from, m)
	}
}

// SendSystemMessage implements actor.Process: nobody watches or stops it.
func (*inbox) SendSystemMessage(*actor.PID, any) {}

// Stop implements actor.Process.
func (*inbox) Stop(*actor.PID) {}

// asker is a node in one of its lives.
type asker struct{ node, session string }

// answers takes an answer to what this node asked.
func (r *Remote) answers(from asker, m *envelope.CellReply) {
	if m.Session != r.session {
		return // it was for a former self of this node
	}
	if l, err := r.link(from.node); err == nil {
		l.answered(m)
	}
}

// asks does what another node asks for.
func (r *Remote) asks(from asker, m *envelope.CellEnvelope) {
	if m.Session != r.session {
		r.reject(from, m, actors.StaleSession, cell.Errorf(cell.CellGone, "the node was started again since"))
		return
	}
	if c, is := m.Body.(*envelope.CellEnvelope_Cancel); is {
		r.asked.cancel(from, c.Cancel)
		return
	}
	ctx, err := r.asked.begin(r.life, from, m)
	if err != nil {
		r.reject(from, m, actors.NodeOverloaded, err)
		return
	}
	wait := r.do(ctx, m)
	r.spawn(func() {
		reply := wait()
		r.asked.end(from, m)
		r.reply(from, m.Call, reply)
	})
}

// spawn runs something that Close waits for, if this node is not ending yet.
func (r *Remote) spawn(do func()) {
	if r.hold() {
		go func() {
			defer r.working.Done()
			do()
		}()
	}
}

// hold has Close wait for working.Done, if this node is not ending yet.
func (r *Remote) hold() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.working.Add(1)
	return true
}

// do begins what is asked, so that one thing is begun after the other.
func (r *Remote) do(ctx context.Context, m *envelope.CellEnvelope) (wait func() *envelope.CellReply) {
	if p, is := m.Body.(*envelope.CellEnvelope_Publish); is {
		return r.publishHere(ctx, m, p.Publish)
	}
	env, err := fromWire(m, time.Now())
	if err != nil {
		return func() *envelope.CellReply { return toReply(nil, actors.Reply{Err: err}) }
	}
	done := r.config.System.Begin(ctx, env)
	return func() *envelope.CellReply { return toReply(env.Body, done()) }
}

// rejectedCount is how many answers of reject may wait for the link to one node, or for room on it.
const rejectedCount = 64

// reject answers what is not begun, and counts it. A node that has more of it than the way back takes
// is cut off.
func (r *Remote) reject(from asker, m *envelope.CellEnvelope, why actors.Loss, err error) {
	to := actors.Address{Tenant: m.Tenant, Name: m.Name}
	r.config.System.Dead(actors.Envelope{To: to, Principal: m.Principal}, why)
	call, reply := m.Call, toReply(nil, actors.Reply{Err: err}) // m may be large, and is not kept
	if r.replyNow(from, call, reply) {
		return
	}
	if !r.rejected.begin(from.node) {
		if r.door.cut(from.node) {
			r.config.Logger.Warn("a node sends too much that cannot be answered; its connection is ended", "node", from.node, "error", err)
		}
		return
	}
	r.spawn(func() {
		defer r.rejected.end(from.node)
		r.reply(from, call, reply)
	})
}

// replyNow says whether an answer could be sent without waiting.
func (r *Remote) replyNow(to asker, call uint64, m *envelope.CellReply) bool {
	m.Call, m.Session = call, to.session
	l, err := r.link(to.node)
	return err == nil && l.send(to.session, m, 0, nil) == nil
}

// rejected counts the answers of reject that wait, by node.
type rejected struct {
	mu sync.Mutex
	of map[string]int
}

// begin says whether one more may wait.
func (c *rejected) begin(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[node] == rejectedCount {
		return false
	}
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[node]++
	return true
}

func (c *rejected) end(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[node]--; c.of[node] == 0 {
		delete(c.of, node)
	}
}

const (
	// replyTime is how long an answer may wait for a link, or for room on it.
	replyTime = 10 * time.Second
	// replyPause is between looks whether there is room.
	replyPause = 20 * time.Millisecond
)

// reply sends an answer. A node that cannot be sent one is cut off, so that it does not wait.
func (r *Remote) reply(to asker, call uint64, m *envelope.CellReply) {
	m.Call, m.Session = call, to.session
	ctx, cancel := context.WithTimeout(r.life, replyTime)
	defer cancel()
	l, err := r.link(to.node)
	if err != nil {
		return // this node is ending
	}
	for {
		session, err := l.ready(ctx)
		if err == nil && session != to.session {
			return // who asked is no more
		}
		if err == nil {
			err = l.send(session, m, 0, nil)
		}
		if err == nil {
			return
		}
		if !pause.For(ctx, replyPause) {
			r.config.Logger.Warn("a node cannot be answered; its connection is ended", "node", to.node, "error", err)
			r.door.cut(to.node)
			return
		}
	}
}

const (
	// askedCount is how much one node may have this one do at a time, and askedBytes what that may
	// take; one alone may take more.
	askedCount = 1 << 13
	askedBytes = 128 << 20
)

// asked is what other nodes wait for.
type asked struct {
	mu sync.Mutex
	of map[asker]*askedBy
}

type askedBy struct {
	bytes int
	end   map[uint64]context.CancelFunc
}

// begin returns a context that ends with cancel, interrupt, the deadline, or end.
func (a *asked) begin(life context.Context, from asker, m *envelope.CellEnvelope) (context.Context, error) {
	size := sizeOf(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	by := a.of[from]
	switch {
	case by == nil:
		by = &askedBy{end: map[uint64]context.CancelFunc{}}
	case by.end[m.Call] != nil:
		return nil, cell.Errorf(cell.Invalid, "call %d is being answered already", m.Call)
	case len(by.end) == askedCount:
		return nil, cell.Errorf(cell.Busy, "%d messages of node %s are not answered yet; send again later", len(by.end), from.node)
	case by.bytes > 0 && by.bytes+size > askedBytes:
		return nil, cell.Errorf(cell.Busy, "messages of node %s with %d bytes are not answered yet; send again later", from.node, by.bytes)
	}
	if a.of == nil {
		a.of = map[asker]*askedBy{}
	}
	a.of[from] = by
	ctx, cancel := until(life, deadline(m, time.Now()))
	by.end[m.Call], by.bytes = cancel, by.bytes+size
	return ctx, nil
}

// until is a context that ends at a time, or with the zero time only with its parent or cancel.
func until(life context.Context, at time.Time) (context.Context, context.CancelFunc) {
	if at.IsZero() {
		return context.WithCancel(life)
	}
	return context.WithDeadline(life, at)
}

func (a *asked) end(from asker, m *envelope.CellEnvelope) {
	a.mu.Lock()
	defer a.mu.Unlock()
	by := a.of[from]
	by.end[m.Call]()
	delete(by.end, m.Call)
	by.bytes -= sizeOf(m)
	if len(by.end) == 0 {
		delete(a.of, from)
	}
}

func (a *asked) cancel(from asker, call uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if by := a.of[from]; by != nil && by.end[call] != nil {
		by.end[call]()
	}
}

// interrupt ends what a node asked for, but for what it asked for in a session.
func (a *asked) interrupt(node, but string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for who, by := range a.of {
		if who.node != node || who.session == but {
			continue
		}
		for _, end := range by.end {
			end()
		}
	}
}

func (a *asked) count() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, by := range a.of {
		n += len(by.end)
	}
	return n
}

// sizeOf is what an envelope has the node keep, in bytes.
func sizeOf(m *envelope.CellEnvelope) int { return proto.Size(m) }

package actors

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/eventstream"

	"github.com/pyisolate/pyisolate/cell"
)

// Options of a System. The zero value of a field is its default.
type Options struct {
	// Directory of the names. Default: one of this node alone.
	Directory Directory
	// Logger is told of what is not delivered, at most once a second, and of what supervision
	// does. Default: nobody is.
	Logger *slog.Logger
	// Events is called with what happens to cells; it must not block.
	Events func(Event)
	// Observe is called before each operation, by its goroutine: the operation has the context that
	// it returns, and the function is told what became of it. Nil: nobody observes.
	Observe func(context.Context, Operation) (context.Context, func(Reply))
	// Linger is how long a cell that has ended keeps its name, so that what it posted can
	// be received. Default 1 min.
	Linger time.Duration
	// Hold is how long a cell that has ended is kept quarantined, so that somebody sees why; then
	// it ends. Default 1 h.
	Hold time.Duration
	// CloseTimeout bounds the end of a cell. Default 10 s.
	CloseTimeout time.Duration
}

// System is the actors of one node.
type System struct {
	options    Options
	directory  Directory
	protoactor *actor.ActorSystem
	root       *actor.RootContext
	letters    *eventstream.Subscription
	topics     topics
	lost       deadLetters

	life    context.Context // until Close
	end     context.CancelFunc
	working sync.WaitGroup // all goroutines but the mailboxes'

	mu     sync.Mutex
	closed bool
	all    map[*cellActor]struct{}
}

// New makes a System without cells.
func New(o Options) *System {
	if o.Directory == nil {
		o.Directory = &Local{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Linger == 0 {
		o.Linger = time.Minute
	}
	if o.Hold == 0 {
		o.Hold = time.Hour
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = 10 * time.Second
	}
	s := &System{options: o, directory: o.Directory, all: map[*cellActor]struct{}{}}
	s.life, s.end = context.WithCancel(context.Background())
	s.protoactor = actor.NewActorSystem(actor.WithDeadLetterThrottleCount(0), actor.WithDeadLetterThrottleInterval(time.Millisecond), actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(quiet{o.Logger.Handler()}) }))
	// An actor that panics has a fault of ours: it is ended, and its cell with it.
	stop := actor.NewOneForOneStrategy(0, 0, func(any) actor.Directive { return actor.StopDirective })
	s.root = s.protoactor.Root.Copy().WithGuardian(stop)
	s.letters = s.protoactor.EventStream.Subscribe(s.undelivered)
	return s
}

// Spawn starts a cell under a name and returns when it runs. The name must be free; that of a
// cell which has ended is given up for it.
func (s *System) Spawn(ctx context.Context, a Address, p Plan) error {
	if err := validAddress(a); err != nil {
		return err
	}
	p.Restart = p.Restart.withDefaults()
	switch p.Restart.When {
	case Never, OnFailure:
	default:
		return cell.Errorf(cell.Invalid, "restart %q is not known: use %q or %q", p.Restart.When, Never, OnFailure)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c, err := s.place(a, p, cancel)
	if err != nil {
		return err
	}
	defer s.working.Done() // of place
	defer context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })()
	started, epoch, err := s.begin(ctx, c)
	if err != nil {
		if errors.Is(context.Cause(ctx), errClosed) {
			err = errClosed
		}
		s.root.Stop(c.self)
		<-c.gone
		return err
	}
	c.tell(&begun{epoch, started, nil})
	s.working.Go(func() { c.watch(started) })
	return nil
}

func (s *System) begin(ctx context.Context, c *cellActor) (cell.Cell, uint64, error) {
	topics := c.plan.Topics
	if from := c.plan.Carried; from != nil {
		c.seen.load(from.Seen, time.Now())
		topics = from.Topics
	}
	for _, topic := range topics {
		by := chosen
		if slices.Contains(c.plan.Topics, topic) {
			by = given
		}
		if err := s.topics.add(c.at, topic, by); err != nil {
			return nil, 0, err
		}
	}
	return c.plan.start(ctx, 0)
}

func validAddress(a Address) error {
	if err := cell.ValidName("tenant", a.Tenant); err != nil {
		return err
	}
	return cell.ValidName("cell", a.Name)
}

// claims is how often a name is claimed: who has it and has ended may be made to leave, or leave just
// then.
const claims = 3

// errClosed is of a cell whose actor has ended before it was started.
var errClosed = cell.Errorf(cell.CellGone, "it was closed while it was being started")

// place makes an actor and gives it the name. When it could, it has added to working. Leaves is called
// before the actor gives the name back.
func (s *System) place(a Address, p Plan, leaves context.CancelCauseFunc) (*cellActor, error) {
	c := &cellActor{system: s, at: a, plan: p, leaves: leaves, gate: newGate(p.Credit), born: time.Now(), gone: make(chan struct{})}
	for i := range c.lanes {
		c.lanes[i].wg = &s.working
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, cell.Errorf(cell.CellGone, "the node is ending")
	}
	s.all[c] = struct{}{}
	s.working.Add(1) // before Close waits
	c.self = s.root.Spawn(actor.PropsFromProducer(func() actor.Actor { return c }))
	s.mu.Unlock()
	own := Entry{PID: c.self, gate: c.gate, gone: c.gone, idle: &c.idle, moved: &c.moved}
	c.named.Store(true)
	for range claims {
		if s.directory.Claim(a, own) {
			return c, nil
		}
		gone := s.Forget(a)
		if gone == nil {
			gone = s.forgetMoved(a)
		}
		if gone != nil {
			<-gone
		}
	}
	c.named.Store(false)
	s.working.Done()
	s.root.Stop(c.self)
	<-c.gone
	return nil, cell.Errorf(cell.Invalid, "there is a cell %s already; close it, or use another name", a)
}

// forgetMoved is Forget of the place of a cell that is elsewhere, and may come back.
func (s *System) forgetMoved(a Address) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.all {
		if c.at == a && c.named.Load() && c.moved.Load() != nil {
			s.root.Stop(c.self)
			return c.gone
		}
	}
	return nil
}

// Forget has a cell that has ended give its name back before Linger is over, and what was not
// received of it. The channel is closed when it has; it is nil where there is no such cell, or
// one that has not ended.
func (s *System) Forget(a Address) <-chan struct{} {
	old, there := s.directory.Lookup(a)
	if !there || old.idle == nil || !old.idle.Load() {
		return nil
	}
	s.root.Stop(old.PID)
	return old.gone
}

// Ask sends an envelope and returns what became of it. When the context ends before there is an
// answer, what runs is interrupted. A cell that moves meanwhile is asked where it is then; see
// [ErrMoved].
func (s *System) Ask(ctx context.Context, env Envelope) Reply {
	at, _ := s.directory.Lookup(env.To)
	if at.Via != nil && isForHere(env.Body) { // it has moved since it was known to be here
		return Reply{Err: Elsewhere(env.To, "")}
	}
	reply := s.askAt(ctx, env, at)
	if errors.Is(reply.Err, ErrMoved) && (at.Via != nil || follows(env.Body)) {
		return s.seek(ctx, env, nil, reply)
	}
	return reply
}

// askAt asks where a cell is said to be.
func (s *System) askAt(ctx context.Context, env Envelope, at Entry) Reply {
	if at.Via != nil {
		return at.Via.Ask(ctx, env)
	}
	r, err := s.send(ctx, env, at, true)
	if err != nil {
		return Reply{Err: err}
	}
	return r.wait(s, at)
}

// Begin sends an envelope to a cell of this node and returns at once; wait returns what became of
// it, and is called once at the most. A cell of another node is not asked, which is ErrMoved: what came
// from a node is passed on to the next only where it was held here for a cell that moved.
func (s *System) Begin(ctx context.Context, env Envelope) (wait func() Reply) {
	r, at, err := s.submit(ctx, env)
	if err != nil {
		return func() Reply { return Reply{Err: err} }
	}
	return func() Reply { return r.wait(s, at) }
}

// submit sends without waiting for an answer.
func (s *System) submit(ctx context.Context, env Envelope) (*request, Entry, error) {
	at, _ := s.directory.Lookup(env.To)
	r, err := s.send(ctx, env, at, false)
	return r, at, err
}

// send sends; waiting says that the caller waits for the answer at once, and nothing else.
func (s *System) send(ctx context.Context, env Envelope, at Entry, waiting bool) (*request, error) {
	if at.Via != nil {
		s.Dead(env, HasMoved)
		return nil, Elsewhere(env.To, "")
	}
	if at.PID == nil {
		s.Dead(env, NoSuchCell)
		return nil, s.noSuchCell(env.To)
	}
	if err := at.gate.enter(env.Body); err != nil {
		s.Dead(env, NoCredit)
		return nil, err
	}
	r := newRequest(ctx, env, func() { at.gate.leave(env.Body) })
	r.moved = at.moved
	if waiting && env.Body.line() < lines {
		r.turn = make(chan func(), 1)
	}
	s.root.Send(at.PID, r)
	return r, nil
}

func (s *System) noSuchCell(a Address) error {
	return cell.Errorf(cell.CellGone, "there is no cell %s", a)
}

// List returns the names of a tenant's cells, or with "" of all, in no order.
func (s *System) List(tenant string) []Address { return s.directory.List(tenant) }

// forget takes an actor's name away.
func (s *System) forget(a *cellActor) {
	s.mu.Lock()
	_, was := s.all[a]
	delete(s.all, a)
	s.mu.Unlock()
	if was && a.named.Load() {
		s.topics.remove(a.at, "")
		if a.moved.Load() != nil {
			s.directory.Leave(a.at, a.self)
			return
		}
		a.idle.Store(true)
		s.happened(Left, a, a.why) // before the name is another's
		s.directory.Release(a.at, a.self)
	}
}

func (s *System) happened(k EventKind, a *cellActor, reason string) {
	s.options.Logger.Debug("cell", "event", string(k), "cell", a.at.String(), "epoch", a.epoch, "reason", reason)
	if s.options.Events != nil {
		s.options.Events(Event{Kind: k, Cell: a.at, Of: a.plan.Of, Epoch: a.epoch, Reason: reason, Err: a.err, At: time.Now()})
	}
}

// Close ends all cells and returns when they have ended, or ctx has. Nothing can be spawned any
// more.
func (s *System) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	ending := slices.Collect(maps.Keys(s.all))
	s.mu.Unlock()
	for _, a := range ending {
		s.root.Stop(a.self)
	}
	if !first {
		return nil
	}
	s.end()
	done := make(chan struct{})
	go func() {
		for _, a := range ending {
			<-a.gone
		}
		s.working.Wait() // nobody is left who would add to it
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return cell.Errorf(cell.Timeout, "cells are still ending: %v", ctx.Err())
	}
	s.protoactor.EventStream.Unsubscribe(s.letters)
	s.protoactor.Shutdown()
	return nil
}

package actors

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/pause"
)

// Move has Take take a cell to another node. It waits its turn in both lines, and holds them: what
// is asked meanwhile waits, as far as there is credit, and goes on where the cell is then, in order.
// It is for cells of this node alone.
type Move struct {
	// Take says where the cell is from then on, also with an error, which is why it did not move.
	// It leaves a cell that stays as it was, thawed, and one that moved frozen: that is closed
	// here. Its context ends with the envelope's, and when the cell is to end; what was agreed
	// by then counts all the same.
	Take func(ctx context.Context, c cell.Cell, m Moving) (Moved, error)
}

// Moving is a cell that is taken.
type Moving struct {
	Epoch   uint64
	Carried Carried
}

// Moved is where a cell is.
type Moved struct {
	// Epoch that it is in from now on; 0: as before. Where it stays it is the same incarnation.
	Epoch uint64
	// Via is the way to it, on Node; nil: it stays here. The Directory should say so by now.
	Via  Via
	Node string
}

func (Move) size() int  { return 0 }
func (Move) line() line { return moves }

// ErrMoved is of every answer that a cell has moved to another node, and that nothing was begun
// here; the error is also of kind [cell.CellGone]. Who looks the name up again finds it. Ask does
// so itself, but for a Recv, Snapshot or Move that it asked a cell of this node for.
var ErrMoved = errors.New("the cell has moved")

// movedError is that, in the vocabulary.
type movedError struct{ in *cell.Error }

func (e movedError) Error() string { return e.in.Error() }

// Is implements errors.Is.
func (e movedError) Is(target error) bool { return target == ErrMoved }

// Unwrap gives the error of the vocabulary.
func (e movedError) Unwrap() error { return e.in }

// Elsewhere is an error that is ErrMoved; node may be "".
func Elsewhere(a Address, node string) error {
	where := "another node"
	if node != "" {
		where = "node " + node
	}
	return AsMoved(cell.Errorf(cell.CellGone, "cell %s has moved to %s; ask there", a, where))
}

// AsMoved makes an error that another node gave ErrMoved, as it was there.
func AsMoved(e *cell.Error) error { return movedError{e} }

// moving is a move that is not decided.
type moving struct {
	ctx    context.Context // for Take
	cancel context.CancelCauseFunc
	began  atomic.Bool   // or is withdrawn
	over   chan struct{} // closed when it is decided
	ended  bool          // the cell has; for Receive alone
	since  uint64
}

// What an actor is told of a move.
type (
	// settled: it is decided where the cell is.
	settled struct{ to Moved }
	// depart: it may be that nobody needs the place any more.
	depart struct{}
)

// IgnoreDeadLetterLogging: that the actor has ended meanwhile is in order.
func (*settled) IgnoreDeadLetterLogging() {}
func (*depart) IgnoreDeadLetterLogging()  {}

// cannotMove says why a cell stays, or nil.
func (a *cellActor) cannotMove() error {
	switch {
	case a.moving != nil:
		return cell.Errorf(cell.Busy, "cell %s is being moved already", a.at)
	case a.state != running:
		return cell.Errorf(cell.CellGone, "cell %s does not run, and cannot be moved", a.at)
	case a.wanted:
		return cell.Errorf(cell.CellGone, "cell %s is being ended", a.at)
	case a.barred != "":
		return cell.Errorf(cell.Invalid, "cell %s is quarantined, and cannot be moved: %s", a.at, a.barred)
	}
	return nil
}

// move begins a move. First it waits for what runs: that may wait for what is put into the inbox.
func (a *cellActor) move(r *request, i *incarnation) {
	if a.state == away {
		r.fail(a.epoch, Elsewhere(a.at, a.moved.Load().Node))
		return
	}
	m := &moving{over: make(chan struct{}), since: a.since}
	m.ctx, m.cancel = context.WithCancelCause(r.ctx)
	a.moving = m
	stop := context.AfterFunc(a.system.life, func() { m.cancel(context.Cause(a.system.life)) })
	context.AfterFunc(m.ctx, func() {
		stop()
		if m.began.CompareAndSwap(false, true) { // nobody waits for its turn
			a.decide(r, i, m, Moved{}, m.late())
		}
	})
	a.lanes[runs].add(func() {
		if m.began.CompareAndSwap(false, true) {
			a.take(r, i, m)
		}
	}, r)
}

// late is why its context has ended.
func (m *moving) late() error {
	if errors.Is(m.ctx.Err(), context.DeadlineExceeded) {
		return cell.Errorf(cell.Timeout, "its time was over before it began to move")
	}
	return cell.Errorf(cell.Cancelled, "before it began to move: %v", context.Cause(m.ctx))
}

// take is called with the line of what runs held, and holds the other.
func (a *cellActor) take(r *request, i *incarnation, m *moving) {
	held, release := make(chan struct{}), make(chan struct{})
	a.lanes[posts].add(func() {
		close(held)
		<-release
	}, nil)
	defer close(release)
	select {
	case <-held:
	case <-m.ctx.Done():
		a.decide(r, i, m, Moved{}, m.late())
		return
	}
	a.altering.Wait()
	epoch := i.epoch.Load()
	ctx, done := a.system.observe(r, epoch)
	ctx, cancel := context.WithCancelCause(ctx)
	defer context.AfterFunc(m.ctx, func() { cancel(context.Cause(m.ctx)) })()
	to, err := r.env.Body.(Move).take(ctx, i.cell, Moving{
		Epoch:   epoch,
		Carried: Carried{Since: m.since, Seen: a.seen.carry(time.Now()), Topics: a.system.Topics(a.at)},
	})
	cancel(nil)
	done(Reply{Epoch: epoch, Err: err})
	a.decide(r, i, m, to, err)
}

// take asks Take. Where that panics, nobody knows where the cell is: it does not go on here.
func (b Move) take(ctx context.Context, c cell.Cell, m Moving) (to Moved, err error) {
	defer recovered(&err)
	broken := true
	defer func() {
		if broken {
			c.Kill("its move broke off, and it is not known where it is")
		}
	}()
	to, err = b.Take(ctx, c, m)
	broken = false
	return to, err
}

// decide is for any goroutine. The actor hears of it before anybody who could ask it because of it.
func (a *cellActor) decide(r *request, i *incarnation, m *moving, to Moved, err error) {
	epoch := max(to.Epoch, i.epoch.Load())
	if to.Epoch = epoch; to.Via != nil {
		a.moved.Store(&to)
		a.idle.Store(true)
	} else {
		i.epoch.Store(epoch)
	}
	a.tell(&settled{to})
	close(m.over)
	m.cancel(nil)
	r.answer(Reply{Epoch: epoch, Err: err})
}

// settle takes up what was decided.
func (a *cellActor) settle(m *settled) {
	ended := a.moving.ended
	a.moving, a.epoch = nil, m.to.Epoch
	switch {
	case m.to.Via == nil && ended:
		a.ended(a.now.cell.Err())
	case m.to.Via != nil:
		a.state, a.why, a.err = away, m.to.Node, nil
		a.system.topics.remove(a.at, "")
		c := a.now.cell
		a.system.working.Go(func() { a.close(c) })
		a.system.happened(MovedAway, a, m.to.Node)
		a.until = time.Now().Add(a.system.options.Linger)
		a.depart()
	}
}

// departAgain is how often it is looked whether the place is needed.
const departAgain = 10 * time.Millisecond

// depart gives the place up when nothing is held here and nobody is sent here any more, or after
// Linger.
func (a *cellActor) depart() {
	at, _ := a.system.directory.Lookup(a.at)
	quiet := at.PID != a.self
	for i := range a.lanes {
		quiet = quiet && a.lanes[i].idle()
	}
	if quiet || time.Now().After(a.until) {
		a.system.root.Stop(a.self)
		return
	}
	a.later(departAgain, &depart{})
}

// after does what ends or alters a cell once it is decided where that is. What ends it has it stay.
func (a *cellActor) after(m *moving, r *request, i *incarnation) {
	switch b := r.env.Body.(type) {
	case Kill:
		i.cell.Kill(b.Reason) // at once; and there, if it comes to be away
		m.cancel(errors.New("it is killed"))
	case Close:
		m.cancel(errors.New("it is closed"))
	case Quarantine:
		m.cancel(errors.New("it is quarantined"))
	}
	select {
	case <-m.over:
		a.do(r, i)
		return
	case <-r.ctx.Done():
	}
	if _, kills := r.env.Body.(Kill); !kills {
		a.do(r, i) // which is too late
		return
	}
	r.fail(i.epoch.Load(), cell.Errorf(cell.UnknownOutcome, "cell %s is being moved; it is killed when it is known where it is", a.at))
	<-m.over
	if to := a.moved.Load(); to != nil && !r.here {
		ctx, cancel := context.WithTimeout(context.Background(), a.system.options.CloseTimeout)
		defer cancel()
		a.system.seek(ctx, r.env, a.self, to.Via.Ask(ctx, r.env))
	}
}

// ---- what is asked of a cell that has moved -----------------------------------------------------

// follows says of what can be asked that it is asked where the cell is.
func follows(b Body) bool {
	_, receives := b.(Recv) // who receives goes there himself
	return !receives && !isForHere(b)
}

// isForHere says of what can be asked that it is for this node alone: it is not sent to others.
func isForHere(b Body) bool {
	switch b.(type) {
	case Snapshot, Move:
		return true
	}
	return false
}

// forward has it done where the cell is. begun says that it is not to be asked again.
func (a *cellActor) forward(r *request, to *Moved) (reply Reply, begun bool) {
	env := r.env
	switch {
	case r.here:
		return Reply{Epoch: to.Epoch}, true
	case to.Via == nil || !follows(env.Body):
		return Reply{Epoch: to.Epoch, Err: Elsewhere(a.at, to.Node)}, false
	}
	if env.Body.line() < lines { // nothing is lost on the way, nor done twice
		if env.ID == (ID{}) {
			env.ID = NewID()
		}
		env.Acknowledged = true
	}
	reply = a.system.seek(r.ctx, env, a.self, to.Via.Ask(r.ctx, env))
	return reply, !errors.Is(reply.Err, cell.Busy)
}

// forwardLate is for what the cell did while it came to be elsewhere.
func (a *cellActor) forwardLate(r *request, to *Moved, reply Reply) (Reply, bool) {
	switch r.env.Body.(type) {
	case Inspect:
		return a.forward(r, to)
	case Recv:
		if errors.Is(reply.Err, cell.CellGone) { // what it has taken it has
			reply.Err = Elsewhere(a.at, to.Node)
		}
	}
	return reply, true
}

// seekFirst is the pause before a name is looked up again; it doubles with each, up to seekLast, and
// then nobody knows where the cell is.
const (
	seekFirst = time.Millisecond
	seekLast  = time.Second
)

// seek asks on where a cell is that had moved when it was asked. The actor `not` is the one that it
// left.
func (s *System) seek(ctx context.Context, env Envelope, not *actor.PID, reply Reply) Reply {
	unsure := false
	for next := seekFirst; errors.Is(reply.Err, ErrMoved); next *= 2 {
		unsure = unsure || reply.Unsure
		if next > seekLast || !pause.For(ctx, next) {
			reply = Reply{Err: cell.Errorf(cell.Busy, "cell %s is being moved; try again", env.To)}
			break
		}
		if at, _ := s.directory.Lookup(env.To); at.PID == nil || at.PID != not {
			reply = s.askAt(ctx, env, at)
		}
	}
	switch cell.KindOf(reply.Err) {
	case cell.Busy, cell.CellGone, cell.Timeout, cell.Cancelled:
		if unsure { // the refusal is of the repetition
			reply.Err = cell.Errorf(cell.UnknownOutcome, "asked before cell %s moved, and it is not known whether it was done: %v", env.To, reply.Err)
		}
	}
	return reply
}

// newsTwice is for how long a cell that has come may hear what is published on both nodes.
const newsTwice = time.Minute

// arriving says that what is asked waits for a cell that comes from elsewhere.
func (a *cellActor) arriving(b Body) bool {
	switch b.(type) {
	case Kill, Close:
		return false
	}
	return a.plan.Carried != nil && a.now == nil
}

// comesNot is for the end of an actor: a cell that it waited for is elsewhere, as are those who asked.
func (a *cellActor) comesNot() {
	if a.plan.Carried == nil || a.now != nil {
		return
	}
	a.moved.Store(&Moved{})
	for _, r := range a.pending {
		r.fail(0, Elsewhere(a.at, ""))
	}
}

// arrived says that it has come from elsewhere just now.
func (a *cellActor) arrived() bool {
	return a.plan.Carried != nil && time.Since(a.born) < newsTwice
}

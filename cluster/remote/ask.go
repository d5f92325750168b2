package remote

import (
	"context"
	"errors"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
	"github.com/pyisolate/pyisolate/internal/pause"
)

// answerGrace is how much longer than its deadline an answer is waited for: what runs is
// interrupted then, and says so. It is longer than that of the node that answers.
const answerGrace = 12 * time.Second

const (
	// tries is how often an acknowledged envelope is sent.
	tries = 5
	// patience is how long the first try waits for an answer, when more follow; it doubles with
	// each. The last waits until the deadline.
	patience = 2 * time.Second
	// tryPause is that before the second try; it doubles with each.
	tryPause = 100 * time.Millisecond
)

// attempt to ask.
type attempt struct {
	// session of the node that is meant, "" for whichever there is.
	session string
	// patience to wait for an answer; 0: until the context or the deadline ends. What is asked
	// goes on when it has ended.
	patience time.Duration
}

// fate is what became of an attempt.
type fate struct {
	// session that it was sent to, "" when it was not sent.
	session string
	// answered: the reply is the cell's, or of its node.
	answered bool
}

// askOnce sends an envelope, and waits.
func (l *link) askOnce(ctx context.Context, env actors.Envelope, a attempt) (actors.Reply, fate) {
	m, err := toWire(env)
	if err != nil {
		return actors.Reply{Err: err}, fate{}
	}
	reply, f, err := l.ask(ctx, m, env.Deadline, a)
	if err != nil {
		if f.session == "" {
			l.remote.config.System.Dead(env, actors.NoWay)
		}
		return actors.Reply{Err: err}, f
	}
	return fromReply(reply), f
}

// ask is askOnce for what is encoded.
func (l *link) ask(ctx context.Context, m *envelope.CellEnvelope, deadline time.Time, a attempt) (*envelope.CellReply, fate, error) {
	if own, has := ctx.Deadline(); has && (deadline.IsZero() || own.Before(deadline)) {
		deadline = own
	}
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	session, err := l.ready(ctx)
	if err != nil {
		return nil, fate{}, err
	}
	if a.session != "" && a.session != session {
		return nil, fate{}, errRestarted(l.node)
	}
	if err := late(ctx); err != nil {
		return nil, fate{}, err
	}
	m.Session, m.Call = session, l.remote.calls.Add(1)
	if !deadline.IsZero() {
		m.Deadline = max(1, int64(time.Until(deadline)))
	}
	c := &call{done: make(chan outcome, 1)}
	if err := l.send(session, m, m.Call, c); err != nil {
		return nil, fate{}, err
	}
	o := l.wait(ctx, m, c, a.patience)
	return o.reply, fate{session, o.reply != nil}, o.err
}

func errRestarted(node string) error {
	return cell.Errorf(cell.UnknownOutcome, "node %s was started again; what it did before is not known", node)
}

// late is the error of what is not worth sending, or nil.
func late(ctx context.Context) error {
	switch ctx.Err() {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return cell.Errorf(cell.Timeout, "its time was over before it was sent")
	default:
		return cell.Errorf(cell.Cancelled, "before it was sent: %v", context.Cause(ctx))
	}
}

// wait returns an answer, or an error that the outcome is unknown.
func (l *link) wait(ctx context.Context, m *envelope.CellEnvelope, c *call, patience time.Duration) outcome {
	var impatient <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		impatient = timer.C
	}
	select {
	case o := <-c.done:
		return l.known(o)
	case <-impatient:
		l.forget(m.Call)
		return l.known(outcome{err: cell.Errorf(cell.UnknownOutcome, "node %s did not answer within %s", l.node, patience)})
	case <-ctx.Done():
	}
	// It may come late, or it does not come; nothing depends on it.
	_ = l.send(m.Session, &envelope.CellEnvelope{Session: m.Session, Body: &envelope.CellEnvelope_Cancel{Cancel: m.Call}}, 0, nil)
	timer := time.NewTimer(answerGrace)
	defer timer.Stop()
	select {
	case o := <-c.done:
		return l.known(o)
	case <-timer.C:
		l.forget(m.Call)
		return outcome{err: cell.Errorf(cell.UnknownOutcome, "node %s did not answer; it may have been done", l.node)}
	}
}

func (l *link) known(o outcome) outcome {
	if o.err != nil && cell.KindOf(o.err) != cell.UnknownOutcome {
		o.err = cell.Errorf(cell.UnknownOutcome, "the connection to node %s was lost before it answered; it may have been done: %v", l.node, o.err)
	}
	return o
}

// insist sends an envelope until it is known what became of it: at most tries times, in one life
// of the node, which keeps the cell from doing it twice.
func (l *link) insist(ctx context.Context, env actors.Envelope) actors.Reply {
	if err := insistable(env); err != nil {
		return actors.Reply{Err: err}
	}
	a := attempt{patience: patience}
	next := tryPause
	for try := 1; ; try++ {
		if try == tries {
			a.patience = 0
		}
		reply, f := l.askOnce(ctx, env, a)
		if settled(reply, f, a) {
			reply.Unsure = a.session != "" && errors.Is(reply.Err, actors.ErrMoved)
			return reply
		}
		if f.session != "" {
			a.session = f.session
		}
		if try == tries || !pause.For(ctx, next) {
			return unknown(reply, a, try)
		}
		a.patience, next = a.patience*2, next*2
	}
}

// settled: another try would tell no more.
func settled(r actors.Reply, f fate, a attempt) bool {
	again := a.session != "" // it was sent before
	switch kind := cell.KindOf(r.Err); {
	case errors.Is(r.Err, actors.ErrMoved):
		return true // its table of what was done has gone with it: it is asked there
	case f.answered:
		return !again || conclusive(kind)
	case f.session != "":
		return false
	case again:
		return kind == cell.UnknownOutcome // the node was started again
	default:
		return kind != cell.Busy // a node that is not there may be there later
	}
}

func insistable(env actors.Envelope) error {
	if env.ID == (actors.ID{}) {
		return cell.Errorf(cell.Invalid, "an acknowledged envelope needs an id")
	}
	switch env.Body.(type) {
	case actors.Exec, actors.Call, actors.Post:
		return nil
	}
	return cell.Errorf(cell.Invalid, "%s cannot be acknowledged: cells remember what became of exec, call and send", actors.Name(env.Body))
}

// conclusive: an answer to a repetition says what became of the first. A refusal does not: it
// is about the repetition.
func conclusive(k cell.Kind) bool {
	switch k {
	case cell.Busy, cell.CellGone, cell.Timeout, cell.Cancelled:
		return false
	}
	return true
}

// unknown is the last answer, as what is known after so many tries.
func unknown(r actors.Reply, a attempt, try int) actors.Reply {
	if a.session == "" {
		return r // it was never sent
	}
	if cell.KindOf(r.Err) == cell.UnknownOutcome {
		return r
	}
	return actors.Reply{Epoch: r.Epoch, Err: cell.Errorf(cell.UnknownOutcome, "sent %d times, and it is not known whether it was done: %v", try, r.Err)}
}

package capability

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/internal/stack"
)

// Session is one cell's access. Methods may be called from any goroutine.
type Session struct {
	broker *Broker
	id     Identity

	grants atomic.Pointer[grantSet] // nil when closed

	mu     sync.Mutex // serialises changes of grants
	closed bool
}

// grantSet is immutable.
type grantSet struct {
	version uint64
	entries map[string]entry
}

type entry struct {
	*binding
	*terms
}

// RuleNoGrant is the rule of a refusal because nothing grants the capability.
const RuleNoGrant = "no grant"

// Identity returns whose session it is.
func (s *Session) Identity() Identity { return s.id }

// Version returns the version of the policy in force, 0 when closed.
func (s *Session) Version() uint64 {
	if set := s.grants.Load(); set != nil {
		return set.version
	}
	return 0
}

// Update puts a policy in force, all of it or nothing. Requests that follow are
// judged by it. A grant with the same scope as before keeps its calls and what it
// has open; the calls of one that is gone or different are cancelled and answered
// Denied. A version older than the one in force is refused: it came late.
func (s *Session) Update(p Policy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Errorf(Gone, "the session of cell %s is closed", s.id.Cell)
	}
	old := s.grants.Load()
	if old != nil && p.Version < old.version {
		return Errorf(Conflict, "policy version %d is older than %d, which is in force", p.Version, old.version)
	}
	next, err := s.bindAll(p, old)
	if err != nil {
		return err
	}
	s.grants.Store(next)
	if old != nil {
		why := Denyf(fmt.Sprintf("policy version %d", p.Version), "the grant was withdrawn or changed while the call ran; it may have taken effect")
		old.endExcept(next, why)
	}
	s.settle()
	return nil
}

// Settle ends what outlasts calls and is not granted now. Update does so itself: it is for who
// gives the cell something after the session was opened, as one that comes from elsewhere brings its
// subscriptions.
func (s *Session) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
}

// settle is called with mu held.
func (s *Session) settle() {
	set := s.grants.Load()
	if set == nil {
		return // another session may speak for the cell already
	}
	for name, c := range s.broker.capabilities() {
		if c, ok := c.(Settler); ok {
			c.Settle(s.id, set.scope(name))
		}
	}
}

// scope of a grant; nil without.
func (set *grantSet) scope(name string) any {
	if e, ok := set.entries[name]; ok {
		return e.scope
	}
	return nil
}

// bindAll makes the set for p; what it has opened is closed again when it fails.
func (s *Session) bindAll(p Policy, old *grantSet) (*grantSet, error) {
	known := s.broker.capabilities()
	next := &grantSet{version: p.Version, entries: make(map[string]entry, len(p.Grants))}
	for _, g := range p.Grants {
		if err := next.add(s.id, g, known[g.Capability], old); err != nil {
			next.endExcept(old, Errorf(Gone, "never in force"))
			return nil, err
		}
	}
	return next, nil
}

func (set *grantSet) add(id Identity, g Grant, c Capability, old *grantSet) error {
	if c == nil {
		return Errorf(Invalid, "grant %s: this node has no such capability", printable(g.Capability, maxName))
	}
	if _, twice := set.entries[g.Capability]; twice {
		return Errorf(Invalid, "%s is granted twice: write all of it in one grant", g.Capability)
	}
	if err := g.Validate(); err != nil {
		return within(g.Capability, err)
	}
	if old != nil {
		if e, ok := old.entries[g.Capability]; ok && e.grant.same(g) {
			set.entries[g.Capability] = entry{e.binding, newTerms(g, e.terms)}
			return nil
		}
	}
	b, err := bind(id, c, g)
	if err == nil {
		set.entries[g.Capability] = entry{b, newTerms(g, nil)}
	}
	return err
}

// endExcept ends the bindings that are not in other.
func (set *grantSet) endExcept(other *grantSet, why *Error) {
	for name, e := range set.entries {
		if other == nil || other.entries[name].binding != e.binding {
			e.end(why)
		}
	}
}

// Close ends the session: calls under way are cancelled and answered Gone.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	set := s.grants.Swap(nil)
	s.mu.Unlock()
	if set != nil {
		set.endExcept(nil, s.gone())
	}
	s.broker.forget(s)
}

func (s *Session) gone() *Error {
	return Errorf(Gone, "the session of cell %s is closed", s.id.Cell)
}

// Do serves one request and returns when it is answered, at the latest when ctx or
// the grant's timeout ends. A non-nil error is always an [*Error]. The payload must
// not be changed before the capability has returned, which can be later: give it away.
func (s *Session) Do(ctx context.Context, r Request) (Value, error) {
	start := s.broker.now()
	c := &Call{Identity: s.id, Request: r}
	v, rule, err := s.serve(ctx, c, start)
	rec := Record{At: start, Identity: s.id, Capability: printable(r.Capability, maxName), Action: printable(r.Action, maxName),
		Version: c.Version, Rule: rule, Duration: s.broker.now().Sub(start), BytesIn: len(r.Payload.Data), BytesOut: len(v.Data)}
	var refined string
	if rec.Target, refined = c.notes(); refined != "" {
		rec.Rule = refined
	}
	if err == nil {
		s.broker.recorder.Record(rec)
		return v, nil
	}
	return Value{}, s.fail(rec, err)
}

// fail completes the evidence of a request that was not answered well.
func (s *Session) fail(rec Record, err error) error {
	e, fault := known(err)
	rec.Outcome, rec.Message, rec.Fault, rec.BytesOut = e.Kind, e.Message, fault, 0
	if e.Kind == Denied {
		if e.Rule != "" {
			rec.Rule = e.Rule
		}
		e.Rule = rec.Rule
		e.Denial = &Denial{At: rec.At, Identity: rec.Identity, Capability: rec.Capability, Action: rec.Action,
			Target: rec.Target, Version: rec.Version, Rule: rec.Rule, Reason: e.Message}
		s.broker.recorder.Denied(*e.Denial)
	}
	s.broker.recorder.Record(rec)
	return e
}

// known returns a copy of err as one of the vocabulary, and what only the record
// may say.
func known(err error) (e *Error, fault string) {
	if errors.As(err, &e) {
		copied := *e
		if e.Cause != nil && !strings.Contains(e.Message, e.Cause.Error()) {
			fault = e.Cause.Error()
		}
		return &copied, fault
	}
	switch kind := KindOf(err); kind {
	case Timeout:
		return Errorf(kind, "the deadline passed; the call may have taken effect"), ""
	case Cancelled:
		return Errorf(kind, "the caller withdrew; the call may have taken effect"), ""
	}
	return Errorf(Internal, "a fault of the node's; its log says more"), err.Error()
}

// serve decides and runs the call. The rule is the grant's.
func (s *Session) serve(ctx context.Context, c *Call, now time.Time) (v Value, rule string, err error) {
	set := s.grants.Load()
	if set == nil {
		return Value{}, "", s.gone()
	}
	c.Version = set.version
	e, ok := set.entries[c.Capability]
	if !ok {
		return Value{}, RuleNoGrant, Denyf(RuleNoGrant, "capability %s is not granted", printable(c.Capability, maxName))
	}
	if err := e.check(ctx, c, now); err != nil {
		return Value{}, e.rule(), err
	}
	if s.broker.fence != nil {
		if err := s.broker.fence(); err != nil {
			return Value{}, e.rule(), Errorf(Busy, "%s", err)
		}
	}
	c.Scope, c.MaxAnswer = e.scope, e.limits.AnswerBytes
	if !s.broker.places.take(s.id) {
		return Value{}, e.rule(), Errorf(Busy, "this cell, its tenant or the node has as many calls under way as it may: try again later")
	}
	ctx, cancel := context.WithTimeout(ctx, e.limits.Timeout)
	defer cancel()
	if refused := e.enter(c, e.limits.Concurrency, cancel); refused != nil {
		s.broker.places.give(s.id)
		if refused.Kind == Denied {
			return s.serve(ctx, c, now) // the policy changed between the look-up and here
		}
		return Value{}, e.rule(), refused
	}
	v, err = s.run(ctx, e.binding, c)
	return v, e.rule(), err
}

// check is what needs no running: sizes, names, rate.
func (t *terms) check(ctx context.Context, c *Call, now time.Time) error {
	if limited := t.allow(now); limited != nil {
		return limited
	}
	if n := len(c.Payload.Data); n > t.limits.PayloadBytes {
		return Errorf(TooLarge, "the payload has %d bytes; %s takes %d", n, c.Capability, t.limits.PayloadBytes)
	}
	if c.Payload.Type > Bytes {
		return Errorf(Invalid, "the payload's %s is not known", c.Payload.Type)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ValidName("action", c.Action)
}

type result struct {
	value Value
	err   error
}

// run has the capability do it, in a goroutine of its own, and waits for the
// answer or the end of ctx.
func (s *Session) run(ctx context.Context, b *binding, c *Call) (Value, error) {
	done := make(chan result, 1)
	go func() {
		stack.Room()
		r := result{err: Errorf(Internal, "a fault of the node's; its log says more")} // of a Goexit
		defer func() {
			if p := recover(); p != nil {
				r = result{err: panicked(p)}
			}
			if b.leave(c) {
				s.Settle() // it may have passed the change of the grants
			}
			s.broker.places.give(s.id)
			done <- r
		}()
		r.value, r.err = b.do.Do(ctx, c)
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		select {
		case r = <-done: // both: what it says is better than that it is late
		default:
			r.err = ctx.Err()
		}
	}
	if ended := b.endedBy(); ended != nil {
		return Value{}, ended
	}
	if r.err != nil && ctx.Err() != nil && KindOf(r.err) != Denied {
		r.err = ctx.Err() // whatever broke first, this is why
	}
	if r.err == nil && len(r.value.Data) > c.MaxAnswer {
		r.err = Errorf(TooLarge, "the answer has %d bytes; %d is the most", len(r.value.Data), c.MaxAnswer)
	}
	return r.value, r.err
}

// panicked keeps the stack for the record. The panic's own value is told only by
// its type, unless it is the runtime's: it could hold anything.
func panicked(p any) *Error {
	what := fmt.Sprintf("%T", p)
	if re, ok := p.(interface {
		error
		RuntimeError()
	}); ok {
		what = re.Error()
	}
	return &Error{Kind: Internal, Message: "a fault of the node's; its log says more",
		Cause: fmt.Errorf("panic: %s\n%s", what, debug.Stack())}
}

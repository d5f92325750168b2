package capability

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// terms are on what a grant is used now; they can change while calls go on.
type terms struct {
	grant   Grant
	limits  Limits
	limiter *rate.Limiter
}

// newTerms carries the budget of requests over from before when it is the same.
func newTerms(g Grant, before *terms) *terms {
	t := &terms{grant: g, limits: g.withDefaults()}
	if before != nil && before.limits == t.limits {
		t.limiter = before.limiter
	} else {
		t.limiter = rate.NewLimiter(rate.Limit(t.limits.RPS), t.limits.Burst)
	}
	return t
}

// allow takes one request from the budget.
func (t *terms) allow(now time.Time) *Error {
	if t.limiter.AllowN(now, 1) {
		return nil
	}
	return Errorf(Busy, "more than %v requests a second of %s: slow down", t.limits.RPS, t.grant.Capability)
}

func (t *terms) rule() string {
	if t.grant.Rule != "" {
		return t.grant.Rule
	}
	return t.grant.Capability
}

// binding is one grant in force: the capability it leads to, what its scope
// opened, and the calls under way.
type binding struct {
	do    Capability
	scope any

	mu      sync.Mutex
	running map[*Call]context.CancelFunc
	ended   *Error // why there are no more calls; nil while there are
}

func bind(id Identity, c Capability, g Grant) (*binding, error) {
	b := &binding{do: c, running: map[*Call]context.CancelFunc{}}
	if s, ok := c.(Scoper); ok {
		scope, err := s.Scope(id, g.Scope)
		if err != nil {
			return nil, within(g.Capability, err)
		}
		b.scope = scope
	} else if len(g.Scope) > 0 {
		return nil, within(g.Capability, Errorf(Invalid, "it takes no arguments: grant it by its name alone"))
	}
	return b, nil
}

// enter admits a call, to be ended by leave, or says why not.
func (b *binding) enter(c *Call, limit int, cancel context.CancelFunc) *Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != nil {
		return b.ended
	}
	if len(b.running) >= limit {
		return Errorf(Busy, "%d calls of %s are under way, which is the most: wait for one", len(b.running), c.Capability)
	}
	b.running[c] = cancel
	return nil
}

// leave ends a call; the last one out closes the scope, and is told that it was.
func (b *binding) leave(c *Call) (last bool) {
	b.mu.Lock()
	delete(b.running, c)
	last = b.ended != nil && len(b.running) == 0
	b.mu.Unlock()
	if last {
		b.release()
	}
	return last
}

// end admits no more calls and cancels those under way.
func (b *binding) end(why *Error) {
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return
	}
	b.ended = why
	idle := len(b.running) == 0
	for _, cancel := range b.running {
		cancel()
	}
	b.mu.Unlock()
	if idle {
		b.release()
	}
}

func (b *binding) endedBy() *Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

func (b *binding) release() {
	if c, ok := b.scope.(io.Closer); ok {
		_ = c.Close() // descriptors and idle connections: nobody could act on it
	}
}

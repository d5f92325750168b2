// Package turns shares out a few places so that nobody's many requests keep others waiting.
package turns

import (
	"context"
	"slices"
	"sync"
)

// Turns has so many at work at once, and of each holder one: what takes a processor for a while
// waits for what came before it, and not for all that somebody else asks for.
type Turns struct {
	all chan struct{}

	mu sync.Mutex
	of map[string]*turn
}

// turn is a holder's.
type turn struct {
	one   chan struct{}
	users int // that wait or are at work
}

// New returns turns of which n are taken at once.
func New(n int) *Turns { return &Turns{all: make(chan struct{}, n), of: map[string]*turn{}} }

// Wait returns when it is the turn of all the holders, or ctx ends. The innermost is the first: one that is within
// another waits for its own turn before it waits for the other's. The caller calls done.
func (t *Turns) Wait(ctx context.Context, holders ...string) (done func(), err error) {
	var gates []chan struct{}
	for _, holder := range holders {
		gates = append(gates, t.join(holder))
	}
	gates = append(gates, t.all)
	passed := 0
	done = func() {
		for _, gate := range slices.Backward(gates[:passed]) {
			<-gate
		}
		for _, holder := range holders {
			t.leave(holder)
		}
	}
	for _, gate := range gates {
		select {
		case gate <- struct{}{}:
			passed++
		case <-ctx.Done():
			done()
			return nil, ctx.Err()
		}
	}
	return done, nil
}

// join returns a holder's gate.
func (t *Turns) join(holder string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[holder]
	if own == nil {
		own = &turn{one: make(chan struct{}, 1)}
		t.of[holder] = own
	}
	own.users++
	return own.one
}

func (t *Turns) leave(holder string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.of[holder]; own.users > 1 {
		own.users--
		return
	}
	delete(t.of, holder)
}

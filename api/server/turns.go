package server

import (
	"context"
	"sync"
)

// turns has so many at work at once, and of each holder one: what takes a processor for a while
// waits for what came before it, and not for all that somebody else asks for.
type turns struct {
	all chan struct{}

	mu sync.Mutex
	of map[string]*turn
}

// turn is a holder's.
type turn struct {
	one   chan struct{}
	users int // that wait or are at work
}

func newTurns(n int) *turns { return &turns{all: make(chan struct{}, n), of: map[string]*turn{}} }

// wait returns when it is the holder's turn, or ctx ends. The caller calls done.
func (t *turns) wait(ctx context.Context, holder string) (done func(), err error) {
	own := t.join(holder)
	for _, gate := range []chan struct{}{own.one, t.all} {
		select {
		case gate <- struct{}{}:
		case <-ctx.Done():
			if gate == t.all {
				<-own.one
			}
			t.leave(holder)
			return nil, ctx.Err()
		}
	}
	return func() { <-t.all; <-own.one; t.leave(holder) }, nil
}

func (t *turns) join(holder string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.of[holder]
	if own == nil {
		own = &turn{one: make(chan struct{}, 1)}
		t.of[holder] = own
	}
	own.users++
	return own
}

func (t *turns) leave(holder string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.of[holder]; own.users > 1 {
		own.users--
		return
	}
	delete(t.of, holder)
}

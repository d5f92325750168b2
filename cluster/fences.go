package cluster

import (
	"context"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// fences are those that anybody can cause, also without a certificate: one at a time, not many a second, and
// who comes while one is waited for shares the next.
type fences struct {
	one   chan struct{} // held by who makes one
	limit *rate.Limiter
	begun atomic.Uint64 // so many
	good  uint64        // the last that succeeded; guarded by one
}

func newFences() *fences {
	return &fences{one: make(chan struct{}, 1), limit: rate.NewLimiter(20, 5)}
}

// pass returns when a fence that began after the call has succeeded: one of another caller, or its own.
func (f *fences) pass(ctx context.Context, fence func(context.Context) error) error {
	came := f.begun.Load()
	select {
	case f.one <- struct{}{}:
		defer func() { <-f.one }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if f.good > came {
		return nil
	}
	if err := f.limit.Wait(ctx); err != nil {
		return err
	}
	mine := f.begun.Add(1)
	err := fence(ctx)
	if err == nil {
		f.good = mine
	}
	return err
}

package refresh

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/time/rate"
)

// maxRetryAfter bounds what a server may make us wait.
const maxRetryAfter = time.Hour

// laterError is a failure that may be none when tried again, not before after.
type laterError struct {
	error
	after time.Duration
}

func (e *laterError) Unwrap() error { return e.error }

// retries bounds how often things are tried: each fetch a few times, and all fetches together
// by a rate, so that a server in trouble does not get several times the load from us.
type retries struct {
	attempts    int
	first, most time.Duration
	budget      *rate.Limiter
}

func newRetries(o Options) *retries {
	return &retries{attempts: o.Attempts, first: o.RetryFirst, most: o.RetryMost, budget: rate.NewLimiter(rate.Every(o.RetryMost), 10)}
}

// do calls try until it succeeds, fails for good, or the budget is used up; it returns the
// last error.
func (r *retries) do(ctx context.Context, try func(context.Context) error) error {
	pause := r.first
	for attempt := 1; ; attempt++ {
		err := try(ctx)
		var later *laterError
		if err == nil || !errors.As(err, &later) || attempt >= r.attempts || later.after > r.most || !r.budget.Allow() {
			return err
		}
		timer := time.NewTimer(max(jitter(pause), later.after))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		pause = min(2*pause, r.most)
	}
}

// jitter is d, less up to a half of it, so that nodes do not call in step.
func jitter(d time.Duration) time.Duration { return d - upTo(d/2) }

// spread is d, a tenth more or less.
func spread(d time.Duration) time.Duration { return d - d/10 + upTo(d/5) }

func upTo(d time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(d) + 1)) //nolint:gosec // G404: nothing secret depends on it
}

// askedFor is the wait that the server asked for.
func askedFor(err error) time.Duration {
	var later *laterError
	if errors.As(err, &later) {
		return later.after
	}
	return 0
}

// retryAfter is what the server asks for, at most an hour; 0: it does not say.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = time.Until(at)
	}
	return min(max(wait, 0), maxRetryAfter)
}

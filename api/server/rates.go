package server

import (
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// defaultRate is of calls a second.
	defaultRate = 20_000
	// maxPaced is how many holders have a pace that is remembered; they are not more than
	// there are tokens, users and tenants.
	maxPaced = 8192
)

// rates bound how many calls a second each holder begins: the outermost of a call's as many as
// most, one within it half of that. Methods may be called from any goroutine.
type rates struct {
	most float64
	now  func() time.Time

	mu sync.Mutex
	// outer are of the outermost holders: they choose the names of those within, and however many
	// these are, their own pace is not forgotten for it.
	outer, inner map[string]*rate.Limiter
}

func newRates(most float64) *rates {
	if most == 0 {
		most = defaultRate
	}
	return &rates{most: most, now: time.Now, outer: map[string]*rate.Limiter{}, inner: map[string]*rate.Limiter{}}
}

// allow says whether one more call is within the pace of all its holders; one that is not counts
// for none.
func (r *rates) allow(who holders) bool {
	if r.most < 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now, most, of := r.now(), r.most, r.outer
	paces := make([]*rate.Limiter, 0, len(who))
	for _, one := range slices.Backward(who) {
		pace := limiter(of, one, most)
		if pace.TokensAt(now) < 1 {
			return false
		}
		paces = append(paces, pace)
		most, of = most/2, r.inner
	}
	for _, pace := range paces {
		pace.AllowN(now, 1)
	}
	return true
}

func limiter(of map[string]*rate.Limiter, one string, most float64) *rate.Limiter {
	own := of[one]
	if own == nil {
		if len(of) >= maxPaced {
			clear(of)
		}
		own = rate.NewLimiter(rate.Limit(most), int(math.Ceil(most)))
		of[one] = own
	}
	return own
}

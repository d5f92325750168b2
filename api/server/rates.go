package server

import (
	"math"
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
	of map[string]*rate.Limiter
}

func newRates(most float64) *rates {
	if most == 0 {
		most = defaultRate
	}
	return &rates{most: most, now: time.Now, of: map[string]*rate.Limiter{}}
}

// allow says whether one more call is within the pace of all its holders; one that is not counts
// for none.
func (r *rates) allow(who holders) bool {
	if r.most < 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for i, one := range who {
		if r.limiter(one, r.most/float64(int(1)<<(len(who)-1-i))).TokensAt(now) < 1 {
			return false
		}
	}
	for _, one := range who {
		if own := r.of[one]; own != nil { // not forgotten for another of the same call
			own.AllowN(now, 1)
		}
	}
	return true
}

// limiter is called with r.mu held.
func (r *rates) limiter(one string, most float64) *rate.Limiter {
	own := r.of[one]
	if own == nil {
		if len(r.of) >= maxPaced {
			clear(r.of)
		}
		own = rate.NewLimiter(rate.Limit(most), int(math.Ceil(most)))
		r.of[one] = own
	}
	return own
}

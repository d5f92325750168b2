package server

import (
	"sync"

	"golang.org/x/time/rate"
)

const (
	// defaultRate is of calls a second.
	defaultRate = 20_000
	// maxPaced is how many holders have a pace that is remembered; they are not more than
	// there are tokens, users and tenants.
	maxPaced = 8192
)

// rates bound how many calls a second each holder begins. Methods may be called from any
// goroutine.
type rates struct {
	most rate.Limit
	mu   sync.Mutex
	of   map[string]*rate.Limiter
}

func newRates(most float64) *rates {
	if most == 0 {
		most = defaultRate
	}
	return &rates{most: rate.Limit(most), of: map[string]*rate.Limiter{}}
}

// allow says whether one more call is within the pace of all its holders.
func (r *rates) allow(who holders) bool {
	if r.most < 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	allowed := true
	for _, one := range who {
		own := r.of[one]
		if own == nil {
			if len(r.of) >= maxPaced {
				clear(r.of)
			}
			own = rate.NewLimiter(r.most, max(1, int(r.most)))
			r.of[one] = own
		}
		allowed = own.Allow() && allowed
	}
	return allowed
}

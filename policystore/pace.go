package policystore

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How fast principals of one tenant may change things: so that neither the log, which every
// change goes through, nor the audit log, which keeps its record, is one tenant's to fill.
const (
	// paceRate is how many changes are made in a second in the long run,
	paceRate = 10
	// paceBurst is how many at once,
	paceBurst = 200
	// and paceBytes is how much of a text counts as one more.
	paceBytes = 64 << 10
	// maxPaced tenants are told apart.
	maxPaced = 4096
)

// pace limits changes by tenant, on the node that proposes them.
type pace struct {
	now func() time.Time

	mu      sync.Mutex
	tenants map[string]*rate.Limiter
}

func newPace(now func() time.Time) *pace {
	return &pace{now: now, tenants: map[string]*rate.Limiter{}}
}

// take admits a change of so many bytes, or says when to try again. Principals of all
// tenants are not limited.
func (p *pace) take(tenant string, bytes int) error {
	if tenant == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.tenants[tenant]
	if l == nil {
		p.forgetIdle()
		l = rate.NewLimiter(paceRate, paceBurst)
		p.tenants[tenant] = l
	}
	now, cost := p.now(), 1+bytes/paceBytes
	if l.AllowN(now, cost) {
		return nil
	}
	wait := time.Duration((float64(cost) - l.TokensAt(now)) / paceRate * float64(time.Second))
	return fmt.Errorf("%w: tenant %s has made too many changes; try again in %v", ErrLimited, tenant, wait.Round(time.Millisecond))
}

// forgetIdle makes room for one more: those that may make all at once lose nothing, and if
// there are none, all begin anew.
func (p *pace) forgetIdle() {
	if len(p.tenants) < maxPaced {
		return
	}
	now := p.now()
	for tenant, l := range p.tenants {
		if l.TokensAt(now) >= paceBurst {
			delete(p.tenants, tenant)
		}
	}
	if len(p.tenants) >= maxPaced {
		clear(p.tenants)
	}
}

package launch

import (
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// When a policy changes, many cells get the same: what is worked out for one of them does for
// the others.

// rulings are those made last, by what they were made of.
type rulings struct {
	mu   sync.Mutex
	last []specRuling // the newest at the end
}

type specRuling struct {
	backend cell.Backend
	ruling
}

// maxRulings is how many are kept.
const maxRulings = 8

// of returns the ruling for a spec that is like the one before, or makes it.
func (r *rulings) of(spec cell.Spec, make func() (ruling, error)) (ruling, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := *spec.Policy
	p.Children = spec.Limits.Children
	for _, has := range r.last {
		if has.backend == spec.Backend && has.limits == spec.Limits && slices.Equal(has.imports, spec.Imports) && has.policy.Equal(p) {
			return has.ruling, nil
		}
	}
	made, err := make()
	if err != nil {
		return ruling{}, err
	}
	// What is kept must be what it was made of, whatever becomes of that.
	made.policy, made.imports = made.policy.Clone(), slices.Clone(made.imports)
	r.last = append(r.last[max(0, len(r.last)+1-maxRulings):], specRuling{spec.Backend, made})
	return made, nil
}

// preparation is the policy that a host's cells were given last, ready for others of them.
type preparation struct {
	mu    sync.Mutex
	of    policy.Policy
	ready *enforce.Prepared
	until time.Time
}

// prepareFor is how long a policy's paths are not looked up again, and how long the kernel
// keeps a policy that nobody has.
const prepareFor = 20 * time.Millisecond

// take returns the policy ready for a seat; it is to be released. Whole is what the policy is
// with all that Python needs.
func (p *preparation) take(e *enforce.Enforcer, of policy.Policy, whole func() policy.Policy) (*enforce.Prepared, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready != nil && time.Now().Before(p.until) && p.of.Equal(of) && p.ready.Hold() {
		return p.ready, nil
	}
	ready, err := e.Prepare(whole())
	if err != nil {
		return nil, err
	}
	ready.Hold()
	time.AfterFunc(prepareFor, ready.Release)
	p.of, p.ready, p.until = of.Clone(), ready, time.Now().Add(prepareFor)
	return ready, nil
}

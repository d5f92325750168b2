package enforce

import (
	"errors"
	"sync"

	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/notify"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Prepared is a policy that is ready for any number of the Enforcer's seats: in the kernel,
// aside, and its paths looked up.
type Prepared struct {
	rules *guard.Rules // nil where no programs judge
	paths func() (*notify.Rules, error)

	mu    sync.Mutex
	holds int
}

// Prepare makes a policy ready. Release it in the end; seats that have it keep it.
func (e *Enforcer) Prepare(p policy.Policy) (*Prepared, error) {
	ready := &Prepared{holds: 1, paths: sync.OnceValues(func() (*notify.Rules, error) { return notify.Compile(p.Files) })}
	if e.guard == nil {
		return ready, nil
	}
	programs, err := e.contracts.load(p.Contract)
	if err != nil {
		return nil, err
	}
	ready.rules, err = e.guard.Build(p, programs)
	if err = errors.Join(err, closeAll(programs)); err != nil {
		return nil, err
	}
	return ready, nil
}

// Hold takes part in p: it is to be released once more. It reports false when p is released.
func (p *Prepared) Hold() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds == 0 {
		return false
	}
	p.holds++
	return true
}

// Release gives one part up.
func (p *Prepared) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holds--; p.holds == 0 && p.rules != nil {
		p.rules.Release()
	}
}

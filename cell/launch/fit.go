package launch

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/kernel/contract"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// fit is what a policy needs of a host that is settled when the host starts: cells that
// differ in it do not share one. The zero fit is that of cells without a policy.
type fit struct {
	// own: they have a policy at all.
	own bool
	// network: the host has the node's network, and its cells may have internet sockets.
	network bool
	// writes: its cells may make files, and files may grow.
	writes bool
	// watched: the node watches what they do with paths.
	watched bool
	// rules are a hash of what of the policy is held by layers that cannot be changed.
	rules [sha256.Size]byte
}

// namespaces are those of the wanted ones that leave a cell what it needs.
func (f fit) namespaces(wanted uint64) uint64 {
	if f.network {
		return wanted &^ unix.CLONE_NEWNET
	}
	return wanted
}

// ruling is what a cell goes by, and what comes of it before there is a host.
type ruling struct {
	fit      fit
	policy   policy.Policy
	imports  []string
	limits   cell.Limits
	gate     []byte       // the rules for the guest's gate
	confined *confinement // nil: what cells without a policy put on
}

// nothing reports whether the policy permits and asks nothing, as none does.
func (r ruling) nothing() bool {
	p := r.policy
	p.Children = 0
	return p.Equal(policy.Policy{})
}

// rule works out what a spec's policy needs beside the guard.
func rule(spec cell.Spec, g stack.Guard, watched bool) (ruling, error) {
	r := ruling{imports: spec.Imports, limits: spec.Limits}
	var err error
	if spec.Policy == nil {
		if r.gate, err = ring.EncodeRules(policy.Policy{}, spec.Imports); err != nil {
			return ruling{}, cell.Errorf(cell.Invalid, "imports: %v", err)
		}
		return r, nil
	}
	if _, err := contract.Parse(spec.Policy.Contract); err != nil {
		return ruling{}, cell.Errorf(cell.Invalid, "policy: contract: %v", err)
	}
	p := *spec.Policy
	p.Children = spec.Limits.Children
	r.policy, r.fit = p, fit{own: true, watched: watched, network: p.Connects(), writes: p.Writes()}
	if r.gate, err = ring.EncodeRules(p, spec.Imports); err != nil {
		return ruling{}, cell.Errorf(cell.Invalid, "policy: %v", err)
	}
	var fixed policy.Policy
	if !g.Files && !watched {
		fixed.Files = p.Files
	}
	if !g.Network {
		fixed.Net = p.Net
	}
	r.fit.rules, err = hash(fixed)
	return r, err
}

func hash(p policy.Policy) ([sha256.Size]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("launch: hash a policy: %w", err)
	}
	return sha256.Sum256(text), nil
}

// compiled keeps what policies compile to, since many cells have few policies; not for long, as
// that depends on what is at their paths.
type compiled struct {
	mu sync.Mutex
	of map[compiledKey]lookedUp
}

type lookedUp struct {
	*confinement
	until time.Time
}

type compiledKey struct {
	backend cell.Backend
	policy  [sha256.Size]byte
}

// maxCompiled bounds them; beyond it all are compiled anew.
const maxCompiled = 1024

// compile adds to the ruling what its cell puts on, or fails where that is not enough.
func (l *Launcher) compile(spec cell.Spec, r *ruling) error {
	if !r.fit.own {
		return nil
	}
	sum, err := hash(r.policy)
	if err != nil {
		return err
	}
	key := compiledKey{spec.Backend, sum}
	l.compiled.mu.Lock()
	defer l.compiled.mu.Unlock()
	c := l.compiled.of[key]
	if !time.Now().Before(c.until) {
		if len(l.compiled.of) >= maxCompiled {
			clear(l.compiled.of)
		}
		c = lookedUp{confine(spec.Backend, l.config, *r), time.Now().Add(prepareFor)}
		l.compiled.of[key] = c
	}
	r.confined = c.confinement
	return c.err
}

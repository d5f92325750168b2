package live

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// A Resolver finds the addresses of a host name. *net.Resolver is one. It must return when
// the context has ended.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// names are the host names that somebody asked for, and their addresses.
type names struct {
	resolver Resolver
	logger   *slog.Logger
	timeout  time.Duration
	keep     time.Duration
	now      func() time.Time
	places   *shares
	moved    func(name string) // called without locks

	mu    sync.Mutex
	round uint64 // each is ResolveEvery long
	of    map[string]*pinned
}

// pinned is what a name was found to stand for; sorted.
type pinned struct {
	addresses []netip.Addr
	at        time.Time
	round     uint64 // in which it was looked up; 0: never
	failures  uint   // since the last answer
	due       uint64 // the round before which it is not looked up again
	busy      chan struct{}
}

// Of all names, maxLookups are looked up at one time, of those of one owner ownLookups. One
// that is not found is not tried again for up to maxBackoff rounds.
const (
	maxLookups = 64
	ownLookups = 8
	maxBackoff = 8
)

func newNames(o Options, moved func(string)) *names {
	return &names{resolver: o.Resolver, logger: o.Logger, timeout: o.ResolveTimeout, keep: o.ResolveKeep, now: o.Now,
		places: newShares(maxLookups, ownLookups), moved: moved, round: 1, of: map[string]*pinned{}}
}

// known is what the names stand for, of those that have been found, and the others.
func (n *names) known(list []string) (of map[string][]netip.Addr, missing []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	of = make(map[string][]netip.Addr, len(list))
	for _, name := range list {
		if p, ok := n.of[name]; ok && len(p.addresses) > 0 {
			of[name] = p.addresses
		} else {
			missing = append(missing, name)
		}
	}
	return of, missing
}

// lookUp looks the names of a list up, for an owner, and tells of each whose addresses have
// changed as soon as it is found. Without force those are left out that were looked up in this
// round or have to wait.
func (n *names) lookUp(ctx context.Context, owner string, list []string, force bool) {
	var all sync.WaitGroup
	for _, name := range list {
		if !n.places.enter(ctx, owner) {
			break
		}
		all.Go(func() {
			changed := n.lookUpOne(ctx, name, force)
			n.places.leave(owner)
			if changed {
				n.moved(name)
			}
		})
	}
	all.Wait()
}

func (n *names) lookUpOne(ctx context.Context, name string, force bool) (changed bool) {
	p, busy := n.claim(name, force)
	switch {
	case busy != nil: // who looks it up tells of it
		select {
		case <-busy:
		case <-ctx.Done():
		}
		return false
	case p == nil:
		return n.expire(name)
	}
	limited, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	found, err := n.resolver.LookupNetIP(limited, "ip", name)
	if err != nil && ctx.Err() == nil {
		n.logger.Warn("a host name of a policy was not found", "host", name, "error", err)
	}
	return n.record(p, found, err, ctx.Err() != nil)
}

// claim returns what is known of a name, for the one who is to look it up. It returns busy
// where somebody does already, and neither where nobody should.
func (n *names) claim(name string, force bool) (p *pinned, busy chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p = n.of[name]
	if p == nil {
		p = &pinned{}
		n.of[name] = p
	}
	switch {
	case p.busy != nil:
		return nil, p.busy
	case !force && (p.round == n.round || n.round < p.due):
		return nil, nil
	}
	p.busy, p.round = make(chan struct{}), n.round
	return p, nil
}

// record takes an answer. An error counts for nothing where the caller had withdrawn.
func (n *names) record(p *pinned, found []netip.Addr, err error, withdrawn bool) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(p.busy)
	p.busy = nil
	switch {
	case err == nil:
		before := p.addresses
		p.addresses, p.at, p.failures, p.due = few(found), n.now(), 0, 0
		return !slices.Equal(before, p.addresses)
	case withdrawn:
		p.round = 0
		return false
	}
	p.due = n.round + min(uint64(1)<<min(p.failures, 16), maxBackoff)
	p.failures++
	return n.old(p)
}

// few are addresses in their one order and form, one more than a policy takes at most: so that it
// shows that there are more.
func few(found []netip.Addr) []netip.Addr {
	for i, a := range found {
		found[i] = a.Unmap().WithZone("")
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	return slices.Clip(slices.Clone(found[:min(len(found), document.MaxAddresses+1)]))
}

// expire drops the addresses of a name that nobody has confirmed for too long.
func (n *names) expire(name string) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.of[name]
	return p != nil && n.old(p)
}

func (n *names) old(p *pinned) bool {
	if len(p.addresses) == 0 || n.now().Sub(p.at) < n.keep {
		return false
	}
	p.addresses = nil
	return true
}

// next begins a round, and drops names that nobody has any more.
func (n *names) next(wanted map[string]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.round++
	for name, p := range n.of {
		if !wanted[name] && p.busy == nil {
			delete(n.of, name)
		}
	}
}

package live

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A Resolver finds the addresses of a host name. *net.Resolver is one.
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

	mu sync.Mutex
	of map[string]pinned
}

// pinned is what a name was found to stand for; sorted.
type pinned struct {
	addresses []netip.Addr
	at        time.Time
}

// maxLookups is how many names are looked up at one time.
const maxLookups = 8

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

// lookUp looks all names of the list up, and returns those whose addresses have changed.
func (n *names) lookUp(ctx context.Context, list []string) (changed []string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	places := make(chan struct{}, maxLookups)
	for _, name := range list {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if n.lookUpOne(ctx, name) {
				mu.Lock()
				defer mu.Unlock()
				changed = append(changed, name)
			}
		})
	}
	all.Wait()
	return changed
}

func (n *names) lookUpOne(ctx context.Context, name string) (changed bool) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	found, err := n.resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		n.logger.Warn("a host name of a policy was not found", "host", name, "error", err)
	}
	for i, a := range found {
		found[i] = a.Unmap().WithZone("")
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.of[name]
	switch {
	case err == nil:
		n.of[name] = pinned{found, n.now()}
	case len(before.addresses) > 0 && n.now().Sub(before.at) >= n.keep:
		n.of[name] = pinned{}
	default:
		return false // as it was
	}
	return !slices.Equal(before.addresses, n.of[name].addresses)
}

// forget drops names that nobody has any more.
func (n *names) forget(wanted map[string]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.of {
		if !wanted[name] {
			delete(n.of, name)
		}
	}
}

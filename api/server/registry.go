package server

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

const (
	// maxLive is how many cells a node has at one time, and one tenant of it.
	maxLive      = 4096
	maxLiveOfOne = maxLive / 2
	// maxEnded is how many cells are remembered after their end, with what nobody has received
	// of them: the latest, and of one tenant no more than maxEndedOfOne.
	maxEnded      = 64
	maxEndedOfOne = 16
)

// cellKey names a cell.
type cellKey struct{ tenant, name string }

func (k cellKey) String() string { return k.tenant + "/" + k.name }

// registry has the node's cells by name. Methods may be called from any goroutine.
type registry struct {
	mu     sync.Mutex
	closed bool
	live   map[cellKey]*resident // nil: being started
	of     map[string]int        // how many of live a tenant has
	ended  []*resident           // in the order of their ends
	ends   sync.WaitGroup        // of goroutines that wait for cells' ends
}

func newRegistry() *registry {
	return &registry{live: map[cellKey]*resident{}, of: map[string]int{}}
}

// reserve keeps a name for a cell that is being started. The caller calls either settle or
// withdraw.
func (g *registry) reserve(k cellKey) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return fmt.Errorf("%w: the node ends", fault.ErrUnavailable)
	}
	if _, taken := g.live[k]; taken {
		return cell.Errorf(cell.Invalid, "tenant %s has a cell named %s already: kill it, or choose another name", k.tenant, k.name)
	}
	if len(g.live) >= maxLive {
		return fmt.Errorf("%w: there are %d cells, which is the most: kill some", policystore.ErrLimited, maxLive)
	}
	if g.of[k.tenant] >= maxLiveOfOne {
		return fmt.Errorf("%w: tenant %s has %d cells, which is the most: kill some", policystore.ErrLimited, k.tenant, maxLiveOfOne)
	}
	g.live[k] = nil
	g.of[k.tenant]++
	return nil
}

func (g *registry) withdraw(k cellKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop(k)
}

// drop makes a name free. The caller holds g.mu.
func (g *registry) drop(k cellKey) {
	if _, taken := g.live[k]; !taken {
		return
	}
	delete(g.live, k)
	if g.of[k.tenant]--; g.of[k.tenant] == 0 {
		delete(g.of, k.tenant)
	}
}

// settle makes the started cell known until its end, and forgets one of the name that has
// ended. It fails when the registry was closed meanwhile.
func (g *registry) settle(r *resident) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return fmt.Errorf("%w: the node ends", fault.ErrUnavailable)
	}
	g.live[r.key] = r
	g.ended = slices.DeleteFunc(g.ended, func(o *resident) bool { return o.key == r.key })
	g.ends.Go(func() {
		<-r.cell.Done()
		r.end()
		g.retire(r)
	})
	return nil
}

func (g *registry) retire(r *resident) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop(r.key)
	g.ended = append(g.ended, r)
	ofOne := 0
	for _, o := range g.ended {
		if o.key.tenant == r.key.tenant {
			ofOne++
		}
	}
	switch {
	case ofOne > maxEndedOfOne:
		oldest := slices.IndexFunc(g.ended, func(o *resident) bool { return o.key.tenant == r.key.tenant })
		g.ended = slices.Delete(g.ended, oldest, oldest+1)
	case len(g.ended) > maxEnded:
		g.ended = slices.Delete(g.ended, 0, 1)
	}
}

// find returns the cell of a name, or the last that had it.
func (g *registry) find(k cellKey) (*resident, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.live[k]; r != nil {
		return r, nil
	}
	for _, r := range g.ended {
		if r.key == k {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: tenant %s has no cell named %s", policystore.ErrNotFound, k.tenant, k.name)
}

// list returns the cells of a tenant, of all for "", by name.
func (g *registry) list(tenant string) []*resident {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []*resident
	for k, r := range g.live {
		if r != nil && (tenant == "" || k.tenant == tenant) {
			all = append(all, r)
		}
	}
	for _, r := range g.ended {
		if tenant == "" || r.key.tenant == tenant {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *resident) int {
		return cmp.Or(cmp.Compare(a.key.tenant, b.key.tenant), cmp.Compare(a.key.name, b.key.name))
	})
	return all
}

// close ends all cells and waits until they are retired.
func (g *registry) close() {
	g.mu.Lock()
	g.closed = true
	for _, r := range g.live {
		if r != nil {
			r.cell.Kill("its node ends")
		}
	}
	g.mu.Unlock()
	g.ends.Wait()
}

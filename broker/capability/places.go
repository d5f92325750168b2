package capability

import (
	"sync"

	"github.com/pyisolate/pyisolate/internal/share"
)

// places bound the calls under way, of a broker, of each tenant and of each cell: whoever holds none
// finds one, however many the others hold. Methods may be called from any goroutine.
type places struct {
	all int

	mu      sync.Mutex
	used    int
	tenants map[string]int
	cells   map[Identity]int // over all of a cell's sessions
	empty   chan struct{}    // closed when none is held any more; nil while nobody waits for that
}

func newPlaces(n int) *places {
	return &places{all: n, tenants: map[string]int{}, cells: map[Identity]int{}}
}

// take says whether there was one, to be given back. Of all a tenant has half of what others
// leave it, and of that a cell half of what the tenant's other cells do.
func (p *places) take(id Identity) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	tenants, cells := p.tenants[id.Tenant], p.cells[id]
	of := share.Of(p.all, p.used-tenants)
	if p.used >= p.all || tenants >= of || cells >= share.Of(of, tenants-cells) {
		return false
	}
	p.used++
	p.tenants[id.Tenant]++
	p.cells[id]++
	return true
}

func (p *places) give(id Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	if p.tenants[id.Tenant]--; p.tenants[id.Tenant] == 0 {
		delete(p.tenants, id.Tenant)
	}
	if p.cells[id]--; p.cells[id] == 0 {
		delete(p.cells, id)
	}
	if p.used == 0 && p.empty != nil {
		close(p.empty)
		p.empty = nil
	}
}

// none is closed when no place is held.
func (p *places) none() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	empty := p.empty
	if empty == nil {
		empty = make(chan struct{})
	}
	if p.used == 0 {
		close(empty)
	} else {
		p.empty = empty
	}
	return empty
}

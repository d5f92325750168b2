package events

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// DefaultKeep is how many events a hub keeps.
const DefaultKeep = 4096

// The budget of one tenant for each kind of event that guests and their callers bring about as often
// as they like: so many a second, and so many at once after a rest.
const (
	budgetRate  = 20
	budgetBurst = 100
	// maxBudgets is how many budgets are known at one time.
	maxBudgets = 4096
)

// Hub keeps the latest events.
type Hub struct {
	keep int
	now  func() time.Time

	mu      sync.Mutex
	kept    []slot // ascending; a prefix of it may be gone
	alive   int    // slots of kept that have an event
	next    uint64 // the index that comes next
	of      map[string]*share
	more    chan struct{} // closed at the next event; nil: nobody waits
	budgets map[budgetKey]*budget
	stats   Stats
}

// slot is where an event is, or was until its tenant had too many: then it is nil. Events do not
// change once they are here.
type slot struct {
	index uint64
	event *Event
}

// share is what is kept of one tenant: the indexes of its events, ascending.
type share struct{ indexes []uint64 }

type budgetKey struct {
	tenant string
	kind   Kind
}

// budget is a tenant's, for one kind of event.
type budget struct {
	limit *rate.Limiter
	lost  uint64
}

// Stats count since the hub was made.
type Stats struct {
	// Published by kind; Suppressed are those of them that were beyond their tenant's budget.
	Published, Suppressed map[Kind]uint64
	// Kept are there now.
	Kept int
}

// NewHub returns a hub that keeps so many events; 0 is 4096.
func NewHub(keep int) *Hub {
	if keep <= 0 {
		keep = DefaultKeep
	}
	return &Hub{keep: keep, now: time.Now, next: 1, of: map[string]*share{}, budgets: map[budgetKey]*budget{},
		stats: Stats{Published: map[Kind]uint64{}, Suppressed: map[Kind]uint64{}}}
}

// Publish keeps an event and wakes who waits for one. It waits for nobody.
func (h *Hub) Publish(e Event) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.At.IsZero() {
		e.At = h.now()
	}
	h.stats.Published[e.Kind]++
	if e.Kind.cheap() {
		lost, ok := h.afford(budgetKey{e.Tenant, e.Kind})
		if !ok {
			h.stats.Suppressed[e.Kind]++
			return
		}
		if lost > 0 {
			e.Message = fmt.Sprintf("(%d before it are left out) %s", lost, e.Message)
		}
	}
	h.add(e.bounded())
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}

// afford takes one event from a tenant's budget, and says how many were refused since the last.
func (h *Hub) afford(of budgetKey) (lost uint64, ok bool) {
	b := h.budgets[of]
	if b == nil {
		if len(h.budgets) >= maxBudgets { // whoever lost nothing has lost nothing by this, either
			clear(h.budgets)
		}
		b = &budget{limit: rate.NewLimiter(budgetRate, budgetBurst)}
		h.budgets[of] = b
	}
	if !b.limit.AllowN(h.now(), 1) {
		b.lost++
		return 0, false
	}
	lost, b.lost = b.lost, 0
	return lost, true
}

// add appends, under mu, and makes room.
func (h *Hub) add(e Event) {
	e.Index = h.next
	h.next++
	h.kept = append(h.kept, slot{e.Index, &e})
	h.alive++
	s := h.of[e.Tenant]
	if s == nil {
		s = &share{}
		h.of[e.Tenant] = s
	}
	s.indexes = append(s.indexes, e.Index)
	if e.Tenant != "" && len(s.indexes) > max(1, h.keep/2) {
		h.drop(h.at(s.indexes[0]))
	}
	if h.alive > h.keep {
		h.trim()
		h.drop(0)
	}
	h.trim()
}

// at is where an index that is kept is: each since the first has a slot.
func (h *Hub) at(index uint64) int { return int(index - h.kept[0].index) }

// drop forgets the event of a slot, which is the oldest of its tenant.
func (h *Hub) drop(at int) {
	tenant := h.kept[at].event.Tenant
	s := h.of[tenant]
	if s.indexes = s.indexes[1:]; len(s.indexes) == 0 {
		delete(h.of, tenant)
	}
	h.kept[at].event = nil
	h.alive--
}

// trim gives up the slots at the front that have nothing. Where they are scattered, a quiet
// tenant's old event would have the hub remember them without end: it goes.
func (h *Hub) trim() {
	for len(h.kept) > 0 && (h.kept[0].event == nil || len(h.kept) > 4*h.keep) {
		if h.kept[0].event != nil {
			h.drop(0)
		}
		h.kept = h.kept[1:]
	}
}

// Since returns what is kept after an index, oldest first. lost is how many are missing among and
// before them, next what to ask with the next time, and more is closed when there is more; it is
// nil of a nil hub. An index that has not been reached yet is of an earlier life of the node: all
// that is kept is after it.
func (h *Hub) Since(index uint64) (events []Event, lost, next uint64, more <-chan struct{}) {
	if h == nil {
		return nil, 0, index, nil
	}
	found, index, next, more := h.after(index)
	for _, s := range found {
		if s.event != nil {
			if events == nil {
				events = make([]Event, 0, len(found))
			}
			events = append(events, *s.event)
		}
	}
	return events, next - index - uint64(len(events)), next, more
}

// after is the part of Since for which nobody can publish.
func (h *Hub) after(index uint64) (found []slot, from, next uint64, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.more == nil {
		h.more = make(chan struct{})
	}
	if index >= h.next {
		index = 0
	}
	at := sort.Search(len(h.kept), func(i int) bool { return h.kept[i].index > index })
	return slices.Clone(h.kept[at:]), index, h.next - 1, h.more
}

// Stats counts.
func (h *Hub) Stats() Stats {
	if h == nil {
		return Stats{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{Published: maps.Clone(h.stats.Published), Suppressed: maps.Clone(h.stats.Suppressed), Kept: h.alive}
}

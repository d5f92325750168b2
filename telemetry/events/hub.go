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
	// maxKnown is how many budgets, and shares of which nothing is kept, are known at one time.
	maxKnown = 4096
)

// Hub keeps the latest events. Where there are too many, whoever has most of them loses his oldest:
// so nobody's events take away those of somebody who has fewer.
type Hub struct {
	keep  int
	first uint64 // the index of the first event
	now   func() time.Time

	mu      sync.Mutex
	kept    []slot // ascending
	alive   int    // slots of kept that have an event
	next    uint64 // the index that comes next
	of      map[holder]*share
	shares  largest       // all of them
	more    chan struct{} // closed at the next event; nil: nobody waits
	budgets map[budgetKey]*budget
	stats   Stats
}

// slot is where an event is, or was until its holder had too many: then it is nil. Events do not
// change once they are here.
type slot struct {
	index uint64
	event *Event
}

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

// NewHub returns a hub that keeps so many events, from index 1 on; 0 is 4096.
func NewHub(keep int) *Hub { return NewHubFrom(keep, 1) }

// NewHubFrom is NewHub with another first index, 1 at least. A program that may start again takes one that
// is higher than all of its earlier lives, such as the time in microseconds: readers that have an
// index of such a life are then told apart.
func NewHubFrom(keep int, first uint64) *Hub {
	if keep <= 0 {
		keep = DefaultKeep
	}
	return &Hub{keep: keep, first: first, now: time.Now, next: first, of: map[holder]*share{}, budgets: map[budgetKey]*budget{},
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
		if len(h.budgets) >= maxKnown { // whoever lost nothing has lost nothing by this, either
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
	h.give(e.holder(), e.Index)
	if h.alive > h.keep {
		at := h.search(h.take())
		h.kept[at].event = nil
		h.alive--
	}
	if len(h.kept) > 2*h.keep {
		h.kept = slices.DeleteFunc(h.kept, func(s slot) bool { return s.event == nil })
	}
}

// search is where the first slot from an index on is.
func (h *Hub) search(index uint64) int {
	return sort.Search(len(h.kept), func(i int) bool { return h.kept[i].index >= index })
}

// Since returns what is kept after an index, oldest first. lost is how many are missing among and
// before them, next what to ask with the next time, and more is closed when there is more; it is
// nil of a nil hub. An index that this hub has not given to an event is of an earlier life of the
// node: all that is kept is after it. Readers of one tenant's use a [Reader].
func (h *Hub) Since(index uint64) (events []Event, lost, next uint64, more <-chan struct{}) {
	if h == nil {
		return nil, 0, index, nil
	}
	h.mu.Lock()
	index = h.within(index)
	found, next, more := h.after(index)
	h.mu.Unlock()
	events = live(found, "")
	return events, next - index - uint64(len(events)), next, more
}

// within is an index of this hub's to begin after, under mu.
func (h *Hub) within(index uint64) uint64 {
	if index < h.first || index >= h.next {
		return h.first - 1
	}
	return index
}

// after has the slots after an index, under mu.
func (h *Hub) after(index uint64) (found []slot, next uint64, more <-chan struct{}) {
	if h.more == nil {
		h.more = make(chan struct{})
	}
	return slices.Clone(h.kept[h.search(index+1):]), h.next - 1, h.more
}

// live are the events of slots, those of a tenant alone where it is not "".
func live(slots []slot, tenant string) (events []Event) {
	for _, s := range slots {
		if s.event == nil || tenant != "" && s.event.Tenant != tenant {
			continue
		}
		if events == nil {
			events = make([]Event, 0, len(slots))
		}
		events = append(events, *s.event)
	}
	return events
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

package events

import (
	"container/heap"
	"slices"
)

// holder is whose an event is: a tenant's, the hosts', or else the node's. Hosts have no tenant, and
// what they do is no reason to forget what the node's own user has done.
type holder struct {
	tenant string
	hosts  bool
}

func (e *Event) holder() holder {
	return holder{tenant: e.Tenant, hosts: e.Tenant == "" && (e.Kind == HostStarted || e.Kind == HostEnded)}
}

// share is what a holder has of a hub.
type share struct {
	of      holder
	indexes []uint64 // of its events that are kept, ascending
	dropped uint64   // so many made room
	last    uint64   // the index of the last that did
	at      int      // in largest
}

// published is how many events there were.
func (s *share) published() uint64 { return s.dropped + uint64(len(s.indexes)) }

// missing is how many of those after an index made room. The hub does not know when each was: it is
// so many at most.
func (s *share) missing(index uint64) uint64 {
	if s.last <= index {
		return 0
	}
	return min(s.dropped, s.last-index)
}

// give has a holder hold one more, under mu.
func (h *Hub) give(to holder, index uint64) {
	s := h.of[to]
	if s == nil {
		h.forget()
		s = &share{of: to}
		h.of[to] = s
		heap.Push(&h.shares, s)
	}
	s.indexes = append(s.indexes, index)
	heap.Fix(&h.shares, s.at)
}

// take has who holds most give up the oldest, and returns its index. Under mu.
func (h *Hub) take() (index uint64) {
	s := h.shares[0]
	index = s.indexes[0]
	s.indexes = s.indexes[1:]
	s.dropped++
	s.last = index
	heap.Fix(&h.shares, s.at)
	return index
}

// forget gives up the counts of who holds nothing any more, if there are many, under mu.
func (h *Hub) forget() {
	if len(h.of) < h.keep+maxKnown {
		return
	}
	h.shares = slices.DeleteFunc(h.shares, func(s *share) bool {
		if len(s.indexes) == 0 {
			delete(h.of, s.of)
			return true
		}
		return false
	})
	for i, s := range h.shares {
		s.at = i
	}
	heap.Init(&h.shares)
}

// largest is a heap of shares: first who holds most, and of two, whose oldest is older.
type largest []*share

var _ heap.Interface = (*largest)(nil)

func (l largest) Len() int { return len(l) }

func (l largest) Less(i, j int) bool {
	a, b := l[i].indexes, l[j].indexes
	if len(a) != len(b) || len(a) == 0 {
		return len(a) > len(b)
	}
	return a[0] < b[0]
}

func (l largest) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].at, l[j].at = i, j
}

// Push implements heap.Interface.
func (l *largest) Push(x any) {
	s := x.(*share)
	s.at = len(*l)
	*l = append(*l, s)
}

// Pop implements heap.Interface; nobody is popped.
func (l *largest) Pop() any {
	last := len(*l) - 1
	s := (*l)[last]
	*l = (*l)[:last]
	return s
}

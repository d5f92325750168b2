package events

// Reader reads the events of one tenant, or all. What it is told to be missing is of the same: of
// how much happens to others it learns what the indices of its own tell. It is for one goroutine.
type Reader struct {
	hub    *Hub // may be nil
	tenant string
	at     uint64 // the index up to which it has read
	seen   uint64 // events up to there, and those that it does not miss
}

// Reader returns one of a tenant's events, or of all where tenant is "". It begins after an index;
// 0 is with what is kept, and so is an index that this hub has not given to an event: it is of an
// earlier life of the node. It may be called on a nil hub, that has no events.
func (h *Hub) Reader(tenant string, after uint64) *Reader {
	r := &Reader{hub: h, tenant: tenant}
	if h == nil {
		return r
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r.at = h.within(after)
	found, _, _ := h.after(r.at)
	kept, missing := uint64(len(live(found, tenant))), uint64(0)
	switch s := h.of[holder{tenant: tenant}]; {
	case r.at < h.first: // it asks for what there is
	case tenant == "":
		missing = h.next - 1 - r.at - kept
	case s != nil:
		missing = s.missing(r.at)
	}
	r.seen = h.published(tenant) - kept - missing
	return r
}

// Latest returns a reader of what comes from now on.
func (h *Hub) Latest(tenant string) *Reader {
	r := &Reader{hub: h, tenant: tenant}
	if h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		r.at, r.seen = h.next-1, h.published(tenant)
	}
	return r
}

// Next returns the events since the last time, oldest first. lost is how many are missing among and
// before them: the first time so many at most, where the reader began within what is gone. more is
// closed when there is more, of whomever; it is nil of a nil hub.
func (r *Reader) Next() (events []Event, lost uint64, more <-chan struct{}) {
	h := r.hub
	if h == nil {
		return nil, 0, nil
	}
	h.mu.Lock()
	found, next, more := h.after(r.at)
	published := h.published(r.tenant)
	h.mu.Unlock()
	events = live(found, r.tenant)
	if there := r.seen + uint64(len(events)); published > there { // less: its tenant was forgotten meanwhile
		lost = published - there
	}
	r.at, r.seen = next, published
	return events, lost, more
}

// published is how many events of a tenant there were, or in all, under mu.
func (h *Hub) published(tenant string) uint64 {
	if tenant == "" {
		return h.next - h.first
	}
	if s := h.of[holder{tenant: tenant}]; s != nil {
		return s.published()
	}
	return 0
}

package node

import (
	"sync"
	"time"
)

// hostLease is until when hosts may run guests, by package boottime's clock; 0: for ever. It is known
// before there is a launcher, which has the last there is from when it begins.
type hostLease struct {
	mu    sync.Mutex
	until time.Duration
	to    interface{ Lease(until time.Duration) }
}

func (h *hostLease) set(until time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = until
	if h.to != nil {
		h.to.Lease(until)
	}
}

func (h *hostLease) begin(to interface{ Lease(until time.Duration) }) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to = to
	to.Lease(h.until)
}

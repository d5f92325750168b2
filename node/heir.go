package node

import (
	"sync"

	"github.com/pyisolate/pyisolate/api/server"
)

// heir has cells go on here that have become this node's. The node has its lease, and so may be given some,
// before it has a server; those wait for it. If there never is one, the end of the session gives them to
// others.
type heir struct {
	mu    sync.Mutex
	to    func(server.Place) // nil: there is no server yet; it does not block
	early []server.Place
}

// inherit takes a cell that has come. It does not block.
func (h *heir) inherit(p server.Place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.to == nil {
		h.early = append(h.early, p)
		return
	}
	h.to(p)
}

// begin hands over what has come, and from then on what comes.
func (h *heir) begin(to func(server.Place)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.early {
		to(p)
	}
	h.to, h.early = to, nil
}

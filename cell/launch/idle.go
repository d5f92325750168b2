package launch

import "time"

// A host without a cell ends after Config.IdleTimeout, and the next spawn of its
// tenant starts another. A spawn holds the host it has chosen until its cell is in,
// and a held host does not end: so no spawn fails because a host was idle.

// hold keeps the host from ending for idleness until admit or unhold. False when
// it takes no cells.
func (h *hostproc) hold() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead || h.retiring {
		return false
	}
	h.held++
	return true
}

func (h *hostproc) unhold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held--
	h.rest()
}

// rest starts the clock, under mu, if the host has become empty.
func (h *hostproc) rest() {
	if len(h.cells) > 0 || h.held > 0 || h.dead || h.patience <= 0 {
		return
	}
	h.idleSince = time.Now()
	if h.idle == nil {
		h.idle = time.AfterFunc(h.patience, h.expired)
	} else {
		h.idle.Reset(h.patience)
	}
}

// leave reports whether the host was empty for long enough; it takes no cells from
// then on. One that filled and emptied since its clock struck has set it anew.
func (h *hostproc) leave() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead || h.retiring || h.held > 0 || len(h.cells) > 0 || time.Since(h.idleSince) < h.patience {
		return false
	}
	h.retiring = true
	h.verdict = idleVerdict
	return true
}

// settle starts the clock of a host that has got a place, under the launcher's mu.
// waiting spawns hold it.
func (l *Launcher) settle(h *hostproc, waiting int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.patience = l.config.IdleTimeout
	h.held += waiting
	h.rest()
}

// endIdle ends a host whose clock has struck. Its place is free at once.
func (l *Launcher) endIdle(h *hostproc) {
	l.mu.Lock()
	if l.closed || !h.leave() {
		l.mu.Unlock()
		return
	}
	for key, p := range l.places {
		if p.host == h {
			delete(l.places, key)
		}
	}
	l.stats.Idle++
	l.mu.Unlock()
	_ = h.proc.conn.Close() // the host ends its pool and exits
}

package fabric

import (
	"sync"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/directory"
)

// hand is a cell that is left to those who move it.
type hand struct {
	holders int
	gone    bool // its actor has ended meanwhile, and not since it is elsewhere
}

// Hand implements server.Mover.
func (f *Fabric) Hand(a actors.Address) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hands[a]
	if h == nil {
		h = &hand{}
		f.hands[a] = h
	}
	h.holders++
	return sync.OnceFunc(func() { f.letGo(a, h) })
}

// Runs implements server.Mover.
func (f *Fabric) Runs(a actors.Address) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.arrives, a)
}

// letGo ends a hold, and does what was left to it.
func (f *Fabric) letGo(a actors.Address, h *hand) {
	f.mu.Lock()
	h.holders--
	last := h.holders == 0
	if last {
		delete(f.hands, a)
		delete(f.arrives, a)
	}
	f.mu.Unlock()
	if last {
		f.spawn(func() { f.catchUp(a) })
	}
}

// handed says whether a cell is left to those who move it.
func (f *Fabric) handed(a actors.Address) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.hands[a] != nil
}

// catchUp does what a change of a record, which was left to others, asks for.
func (f *Fabric) catchUp(a actors.Address) {
	c := f.at()
	if c == nil {
		return
	}
	r, known := c.Group().Find(cellOf(a))
	if !known {
		r = directory.Record{Cell: cellOf(a)}
	}
	if r.Owner.Node == c.Self() {
		f.inherit(a, r)
		return
	}
	f.overrun(a, r)
}

// settled notes how a move was decided. What came to this node whose actor has ended meanwhile is given
// back.
func (f *Fabric) settled(a actors.Address, r directory.Record) (server.Place, error) {
	seat, err := f.seat()
	f.mu.Lock()
	defer f.mu.Unlock()
	has, ours := f.owned[a]
	h := f.hands[a]
	switch {
	case err != nil || r.Owner != seat || !f.holds(r): // it is elsewhere, or what is left of it ends with the session
		if ours && has.Epoch < r.Epoch {
			delete(f.owned, a)
			delete(f.arrives, a)
		}
		return placeOf(r), nil
	case ours && has.Epoch >= r.Epoch:
	case !ours && (h == nil || h.gone):
		f.give(a, r)
		return placeOf(r), cell.Errorf(cell.CellGone, "cell %s has ended meanwhile", a)
	default:
		f.owned[a] = r
	}
	return placeOf(r), nil
}

// inherit tells of a cell that has come to this node, which has not asked for it. It may be one that the node has given
// back meanwhile, of which its replica has not heard: that is asked for.
func (f *Fabric) inherit(a actors.Address, r directory.Record) {
	seat, err := f.seat()
	if err != nil || r.Owner != seat || r.Checkpoint == "" || !f.unheard(a, func() {}) {
		return
	}
	if f.outlive(a); !f.caughtUp() {
		return
	}
	if now, known := f.at().Group().Find(r.Cell); !known || now.Epoch != r.Epoch || now.Owner != seat {
		return // who changed it has told of that
	}
	comes := false
	f.unheard(a, func() {
		if comes = f.holds(r); comes {
			f.comesTo(a, r)
		}
	})
	if comes {
		f.begin(a, r)
	}
}

// comesTo notes a record of this node's that no actor has yet. One of the name may be there, which had the cell before: until
// the lease was over, say, and it has not ended yet. f.mu is held.
func (f *Fabric) comesTo(a actors.Address, r directory.Record) {
	f.names.strays(a)
	f.owned[a], f.arrives[a] = r, true
}

// begin tells of a cell that is this node's by now, and that nobody here has.
func (f *Fabric) begin(a actors.Address, r directory.Record) {
	f.logger.Warn("a cell comes to this node: the one that had it is gone, or cannot run it", "cell", a.String(), "epoch", r.Epoch)
	if f.config.Inherit != nil {
		f.config.Inherit(placeOf(r))
		return
	}
	if _, err := f.Yield(f.life, a, r.Epoch); err != nil {
		f.logger.Warn("a cell is not given on", "cell", a.String(), "error", err)
	}
}

// unheard does something under f.mu if nobody here has a cell, or sees to it.
func (f *Fabric) unheard(a actors.Address, do func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ours := f.owned[a]
	if ours || f.hands[a] != nil || f.giving[a] != nil {
		return false
	}
	do()
	return true
}

// comes says whether a record of this node is of a cell that is on its way here: it is not nobody's,
// though no actor has it yet.
func (f *Fabric) comes(a actors.Address, r directory.Record) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.coming(a, r)
}

// coming is comes with f.mu held.
func (f *Fabric) coming(a actors.Address, r directory.Record) bool {
	return r.Checkpoint != "" || f.hands[a] != nil
}

// news is closed with the next change of records, or the end of the lease.
func (f *Fabric) news() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.heard == nil {
		f.heard = make(chan struct{})
	}
	return f.heard
}

// tell has those look again who wait for news.
func (f *Fabric) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.heard != nil {
		close(f.heard)
		f.heard = nil
	}
}

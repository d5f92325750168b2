package host

import (
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/internal/spin"
)

// arrival holds what the node sends a cell that has no worker yet: a node that has
// been told of a ready worker does not wait for the answer to its claim.
type arrival struct {
	claim *wire.Msg
	early []*wire.Msg
	room  int // bytes of payload that may still come
}

// maxEarly is how many messages may come before the worker that are to be answered, and earlyPayloads how
// many of the largest.
const (
	maxEarly      = 64
	earlyPayloads = 2
)

// addressee is the guest m is for. Nil without an error means that m is kept for it.
func (s *server) addressee(m *wire.Msg) (*guest, *cell.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, g := s.coming[m.Cell], s.cells[m.Cell]
	switch {
	case a == nil && g == nil:
		return nil, cell.Errorf(cell.CellGone, "cell is not in this host any more")
	case a == nil:
		return g, nil
	case expectsAnswer(m) && (len(a.early) >= maxEarly || len(m.Payload) > a.room): // others nobody would send again
		return nil, cell.Errorf(cell.Busy, "%d messages wait for this cell to start; try again later", len(a.early))
	}
	a.early, a.room = append(a.early, m), a.room-len(m.Payload)
	return nil, nil
}

// claim gives a worker to a new cell: at once from the pool, or started for it.
func (s *server) claim(m *wire.Msg, c *wire.Claim) {
	limits := wire.ToLimits(c.GetLimits()).WithDefaults()
	if err := limits.Validate(); err != nil {
		s.refuse(m, wire.ToError(wire.FromError(err)))
		return
	}
	s.mu.Lock()
	retiring, taken := s.retiring, s.cells[m.Cell] != nil || s.coming[m.Cell] != nil
	if retiring == "" && !taken {
		s.coming[m.Cell] = &arrival{claim: m, room: earlyPayloads * limits.MessageBytes}
	}
	s.mu.Unlock()
	if retiring != "" || taken {
		s.refuse(m, takesNone(retiring))
		return
	}
	if slot := s.pool.take(c.GetWorker()); slot != nil {
		s.admit(m, c, limits, slot, true)
		return
	}
	s.pool.refill()
	s.claims.Go(func() {
		slot, err := s.pool.start(m.Cell)
		if err != nil {
			s.turnAway(m, cell.Errorf(cell.CellGone, "%v", err))
			return
		}
		s.admit(m, c, limits, slot, false)
	})
}

// admit puts the cell to work. The claim itself is answered later by the cell
// and need not be waited for: operations follow it in the ring.
func (s *server) admit(m *wire.Msg, c *wire.Claim, limits cell.Limits, slot *slot, hit bool) {
	unsent := slot.region.SetRules(ringLimits(limits), m.Payload)
	// Before anybody can find the cell: its first frame is the claim. And before anything
	// else is done for it: it takes the cell's thread a while to wake up.
	if unsent == nil {
		unsent = slot.region.Send(ring.InClaim, 0, m.Op, claimBody(s.shared))
	}
	g := newGuest(s, m, c, limits, slot)
	s.mu.Lock()
	if retiring := s.retiring; retiring != "" || !s.awaited(m) {
		s.mu.Unlock()
		slot.discard()
		s.turnAway(m, takesNone(retiring))
		return
	}
	s.cells[m.Cell] = g
	s.guests.Add(1)
	s.mu.Unlock()
	claimed := &wire.Control_Claimed{Claimed: g.describe(hit)}
	if hit && c.GetUnwaited() {
		_ = s.conn.Queue(wire.New(m.Cell, m.Op, claimed, nil))
		if len(s.fresh) == 0 {
			s.freshUntil = time.Now().Add(freshPatience)
		}
		s.fresh = append(s.fresh, g)
	} else {
		s.send(m.Cell, m.Op, claimed, nil)
		spin.Yield() // the kernel may have put the caller that this wakes behind us
		g.start()
		if hit {
			s.pool.refill()
		}
	}
	if unsent != nil {
		g.end(cell.Crashed, fmt.Sprintf("claim: %v", unsent))
	}
	s.welcome(g)
}

// settle starts the goroutines of new guests, which the first operation was not to wait
// for: to start one wakes a thread, on a processor that the cell could use. The reader
// calls it before it sleeps.
func (s *server) settle() {
	if len(s.fresh) == 0 {
		return
	}
	_ = s.conn.Flush()
	for _, g := range s.fresh {
		g.start()
	}
	s.pool.refill()
	s.fresh = s.fresh[:0]
}

// welcome gives the guest what came before it, in order, until nothing more has.
func (s *server) welcome(g *guest) {
	for {
		s.mu.Lock()
		a := s.coming[g.id]
		early := a.early
		a.early = nil
		if len(early) == 0 {
			delete(s.coming, g.id)
		}
		s.mu.Unlock()
		if len(early) == 0 {
			return
		}
		for _, m := range early {
			g.dispatch(m)
		}
		_ = s.conn.Flush() // answers that the reader would
	}
}

// awaited reports, under mu, whether the claim has neither a worker nor an end yet.
func (s *server) awaited(claim *wire.Msg) bool {
	a := s.coming[claim.Cell]
	return a != nil && a.claim == claim && s.cells[claim.Cell] == nil
}

// takesNone is why a host that ends takes no claim. Another may.
func takesNone(retiring string) *cell.Error {
	return cell.Errorf(cell.Busy, "host takes no claim: retiring: %s", retiring)
}

// turnAway refuses a claim, and whatever followed it, unless it has been withdrawn.
func (s *server) turnAway(claim *wire.Msg, e *cell.Error) {
	for _, m := range s.forgetArrival(claim) {
		s.refuse(m, e)
	}
}

// forgetArrival returns the claim and what waits behind it; nil when it is not awaited.
func (s *server) forgetArrival(claim *wire.Msg) []*wire.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.awaited(claim) {
		return nil
	}
	early := s.coming[claim.Cell].early
	delete(s.coming, claim.Cell)
	return append([]*wire.Msg{claim}, early...)
}

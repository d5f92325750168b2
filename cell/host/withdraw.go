package host

import (
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// withdraw serves what ends a cell that has no worker yet, or one of the operations
// that wait for it: a worker may take long to start, and nobody is to wait for what
// nobody wants. It reports false when m is for a cell that has begun, or for none.
func (s *server) withdraw(m *wire.Msg) bool {
	switch b := m.Body.(type) {
	case *wire.Control_Interrupt:
		return s.withdrawOne(m, cell.Kind(b.Interrupt.Kind))
	case *wire.Control_Kill:
		return s.withdrawClaim(m.Cell, cell.Killed, b.Kill.Reason)
	case *wire.Control_Close:
		return s.withdrawClaim(m.Cell, cell.Closed, "closed")
	}
	return false
}

// withdrawOne answers a message that waits, or the claim and all that follows it.
func (s *server) withdrawOne(m *wire.Msg, kind cell.Kind) bool {
	s.mu.Lock()
	a, begun := s.coming[m.Cell], s.cells[m.Cell] != nil
	var op *wire.Msg
	if a != nil {
		op = a.remove(m.Op)
	}
	s.mu.Unlock()
	switch {
	case op != nil:
		s.refuse(op, withdrawn(kind))
	case a == nil || begun:
		return false
	case m.Op == a.claim.Op:
		s.turnAway(a.claim, withdrawn(kind))
	}
	return true
}

// remove takes the operation out of what waits; nil when it is not there.
func (a *arrival) remove(op uint64) *wire.Msg {
	for i, m := range a.early {
		if m.Op == op && expectsAnswer(m) {
			a.early = append(a.early[:i:i], a.early[i+1:]...)
			a.room += len(m.Payload)
			return m
		}
	}
	return nil
}

// withdrawClaim ends a cell before it begins. Its worker is discarded when it comes.
func (s *server) withdrawClaim(id uint64, state cell.State, reason string) bool {
	s.mu.Lock()
	a := s.coming[id]
	s.mu.Unlock()
	if a == nil {
		return false
	}
	arrived := s.forgetArrival(a.claim)
	if arrived == nil {
		return false // its worker has come meanwhile
	}
	unwaited := a.claim.GetClaim().GetUnwaited()
	if unwaited {
		arrived = arrived[1:] // the end is the answer
	}
	for _, m := range arrived {
		s.refuse(m, cell.Errorf(cell.CellGone, "%s: %s", state, reason))
	}
	if !unwaited {
		return true
	}
	report := cell.Report{State: state, Reason: reason}
	s.send(id, 0, &wire.Control_Ended{Ended: &wire.Ended{State: string(state), Reason: wire.Text(reason, 4096), Report: wire.FromReport(report)}}, nil)
	return true
}

// withdrawn is the answer to an operation that its caller does not want any more.
func withdrawn(kind cell.Kind) *cell.Error {
	if kind == cell.Timeout {
		return cell.Errorf(kind, "the deadline passed")
	}
	return cell.Errorf(kind, "the caller withdrew")
}

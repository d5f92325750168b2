package actors

import "context"

// ForgetEntry is Forget of a cell by its entry, for a Directory that does not look it up any more:
// its name is another node's.
func (s *System) ForgetEntry(e Entry) <-chan struct{} {
	if e.PID == nil || e.idle == nil || !e.idle.Load() {
		return nil
	}
	s.root.Stop(e.PID)
	return e.gone
}

// KillEntry kills a cell of this node by its entry, for good, and returns at once. One that has moved
// it leaves alone: it is another node's.
func (s *System) KillEntry(a Address, e Entry, reason string) {
	if e.PID != nil { // it needs no credit
		r := newRequest(context.WithoutCancel(s.life), Envelope{To: a, Body: Kill{Reason: reason}}, func() {})
		r.here = true
		s.root.Send(e.PID, r)
	}
}

package server

import "time"

const (
	// reservedFor is how long an empty cell waits for the one that is to come, and longer while that comes.
	reservedFor = 2 * time.Minute
	// stateWithin is how long a state may take to come, however steadily: its cell stands still, and one call of
	// Push has no longer.
	stateWithin = 10 * time.Minute
	// quietFor is how often it is looked whether more of it has come: in between something has to.
	quietFor = 30 * time.Second
)

// patience is with a state on its way from one node to another: for reservedFor, then while it gets on, and for
// stateWithin at most. Both nodes have it, the target for longer, since it begins later. It is for one goroutine.
type patience struct {
	began time.Time
	was   int64 // bytes of the state, at the last look
}

// isOut is called every quietFor, with how much of the state is there.
func (p *patience) isOut(there int64) bool {
	waited, further := time.Since(p.began), there != p.was
	p.was = there
	return waited >= stateWithin || waited >= reservedFor && !further
}

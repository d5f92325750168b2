package directory

import (
	"fmt"
	"maps"
	"slices"
)

// recovered has nobody have anything. Whoever ran a cell in an epoch that this log never heard of is behind
// all that come, since they are further ahead than anybody can have got.
func (s *State) recovered(_ uint64, c Command) (Outcome, error) {
	if c.Seat.Node == "" || c.Epoch == 0 {
		return Outcome{}, fmt.Errorf("%w: a recovery names a node, and how far epochs go ahead", ErrInvalid)
	}
	clear(s.sessions)
	clear(s.leases)
	s.epoch += c.Epoch
	var moved []Record
	for _, cell := range slices.SortedFunc(maps.Keys(s.cells), compareCells) {
		r := s.cells[cell]
		if r.Phase != Suspended {
			r.suspend()
		}
		r.Epoch += c.Epoch
		if c.Earlier && !r.Holds(c.Seat.Node) && r.Before != nil && slices.Contains(r.Before.Copies, c.Seat.Node) {
			r.putBack()
		}
		r.Yielded, r.Before = nil, nil
		if r.Holds(c.Seat.Node) {
			r.Copies = []string{c.Seat.Node}
		} else {
			r.Checkpoint, r.Copies = "", nil
		}
		s.changed(r)
		moved = append(moved, r.clone())
	}
	return Outcome{Moved: moved}, nil
}

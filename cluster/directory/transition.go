package directory

import (
	"fmt"
	"slices"
)

// transition changes the record of a cell that is in the command's epoch, or says why not.
type transition func(*State, *Record, Command) error

// of applies a transition to the cell that the command names.
func of(t transition) func(*State, uint64, Command) (Outcome, error) {
	return func(s *State, _ uint64, c Command) (Outcome, error) {
		r, ok := s.cells[c.Cell]
		if !ok {
			return Outcome{}, fmt.Errorf("%w: %s", ErrNoCell, c.Cell)
		}
		if r.Epoch != c.Epoch {
			return Outcome{Record: r.clone()}, fmt.Errorf("%w: %s is in epoch %d, %s names %d", ErrStale, c.Cell, r.Epoch, c.Op, c.Epoch)
		}
		next := r.clone()
		if err := t(s, &next, c); err != nil {
			return Outcome{Record: r.clone()}, err
		}
		*r = next
		s.changed(r)
		return Outcome{Record: r.clone()}, nil
	}
}

// owned says why a command that only the owner may give is not its own.
func (s *State) owned(r *Record, c Command, phases ...Phase) error {
	switch {
	case r.Owner != c.Seat:
		return fmt.Errorf("%w: %s is with node %s in session %d, not %s in %d", ErrStale, r.Cell, r.Owner.Node, r.Owner.Session, c.Seat.Node, c.Seat.Session)
	case !slices.Contains(phases, r.Phase):
		return wrongPhase(r, c)
	}
	return nil
}

func wrongPhase(r *Record, c Command) error {
	return fmt.Errorf("%w: %s is %s; that is no time for %s", ErrStale, r.Cell, r.Phase, c.Op)
}

func (s *State) claim(_ uint64, c Command) (Outcome, error) {
	if c.Cell.Tenant == "" || c.Cell.Name == "" {
		return Outcome{}, fmt.Errorf("%w: a claim without a name", ErrInvalid)
	}
	if r, taken := s.cells[c.Cell]; taken {
		if c.Request != "" && r.Claim == c.Request {
			return Outcome{Record: r.clone()}, nil
		}
		return Outcome{Record: r.clone()}, fmt.Errorf("%w: %s is %s on node %s", ErrTaken, c.Cell, r.Phase, r.Owner.Node)
	}
	switch {
	case !s.isOpen(c.Seat):
		return Outcome{}, fmt.Errorf("%w: %d of node %s", ErrNoSession, c.Seat.Session, c.Seat.Node)
	case len(s.cells) >= maxCells:
		return Outcome{}, fmt.Errorf("%w: %d", ErrLimited, maxCells)
	case s.of[c.Cell.Tenant] >= maxCellsOfOne:
		return Outcome{}, fmt.Errorf("%w: tenant %s has %d", ErrLimited, c.Cell.Tenant, maxCellsOfOne)
	}
	// Higher than any that the name can have had.
	r := &Record{Cell: c.Cell, Epoch: s.epoch, Claim: c.Request, Policy: c.Policy, Version: c.Version}
	r.give(c.Seat)
	s.cells[c.Cell] = r
	s.of[c.Cell.Tenant]++
	s.changed(r)
	return Outcome{Record: r.clone()}, nil
}

func (s *State) release(index uint64, c Command) (Outcome, error) {
	out, err := of(func(s *State, r *Record, c Command) error {
		if r.Phase == Suspended && c.Seat == (Seat{}) {
			return nil
		}
		return s.owned(r, c, Active, Prepare)
	})(s, index, c)
	if err != nil {
		return out, err
	}
	delete(s.cells, c.Cell)
	if s.of[c.Cell.Tenant]--; s.of[c.Cell.Tenant] == 0 {
		delete(s.of, c.Cell.Tenant)
	}
	return out, nil
}

func restart(s *State, r *Record, c Command) error {
	if err := s.owned(r, c, Active, Prepare); err != nil { // a move that was begun late comes to nothing
		return err
	}
	r.give(r.Owner)
	return nil
}

func begin(s *State, r *Record, c Command) error {
	switch {
	case r.Phase != Active:
		return wrongPhase(r, c)
	case !s.isOpen(c.Seat):
		return fmt.Errorf("%w: %d of node %s", ErrNoSession, c.Seat.Session, c.Seat.Node)
	case c.Seat == r.Owner:
		return fmt.Errorf("%w: %s is on node %s already", ErrInvalid, r.Cell, c.Seat.Node)
	case c.Request == "":
		return fmt.Errorf("%w: a migration without a name", ErrInvalid)
	}
	r.Phase, r.Target, r.Migration = Prepare, c.Seat, c.Request
	return nil
}

func freeze(s *State, r *Record, c Command) error {
	if err := s.owned(r, c, Prepare); err != nil {
		return err
	}
	if !slices.Contains(c.Nodes, r.Owner.Node) || !slices.Contains(c.Nodes, r.Target.Node) {
		return fmt.Errorf("%w: of %s both node %s and node %s must have the checkpoint", ErrInvalid, r.Cell, r.Owner.Node, r.Target.Node)
	}
	before := *r
	if err := keep(r, c); err != nil {
		return err
	}
	r.Phase = Frozen
	if c.Remember {
		r.Before = &Saved{before.Checkpoint, before.Copies, before.Yielded}
	}
	return nil
}

func activate(_ *State, r *Record, c Command) error {
	switch {
	case r.Phase != Frozen:
		return wrongPhase(r, c)
	case r.Target != c.Seat: // whose session is open, or it were not the target any more
		return fmt.Errorf("%w: %s goes to node %s in session %d, not %s in %d", ErrStale, r.Cell, r.Target.Node, r.Target.Session, c.Seat.Node, c.Seat.Session)
	}
	r.give(c.Seat)
	return nil
}

func abort(_ *State, r *Record, c Command) error {
	if r.Phase != Prepare && r.Phase != Frozen {
		return wrongPhase(r, c)
	}
	r.giveBack() // to one whose session is open, or it had been given away
	return nil
}

func resume(s *State, r *Record, c Command) error {
	switch err := s.owned(r, c, Active, Prepare); {
	case err != nil:
		return err
	case r.Before == nil || r.Checkpoint != c.Checkpoint:
		return fmt.Errorf("%w: %s has no move to come back from with checkpoint %.16s", ErrStale, r.Cell, c.Checkpoint)
	}
	r.putBack()
	return nil
}

func adopt(s *State, r *Record, c Command) error {
	switch {
	case r.Phase != Suspended:
		return wrongPhase(r, c)
	case !s.isOpen(c.Seat):
		return fmt.Errorf("%w: %d of node %s", ErrNoSession, c.Seat.Session, c.Seat.Node)
	case !r.Holds(c.Seat.Node):
		return fmt.Errorf("%w: node %s has no copy of the checkpoint of %s", ErrStale, c.Seat.Node, r.Cell)
	}
	r.give(c.Seat)
	return nil
}

// yield ends: each node with a copy does it once for a checkpoint.
func yield(s *State, r *Record, c Command) error {
	if err := s.owned(r, c, Active); err != nil {
		return err
	}
	if at, before := slices.BinarySearch(r.Yielded, c.Seat.Node); !before && r.Holds(c.Seat.Node) {
		r.Yielded = slices.Insert(r.Yielded, at, c.Seat.Node)
	}
	s.passOn(r)
	return nil
}

func confine(s *State, r *Record, c Command) error {
	if err := s.owned(r, c, Active, Prepare); err != nil {
		return err
	}
	r.Policy, r.Version = c.Policy, c.Version
	return nil
}

// ---- checkpoints --------------------------------------------------------------------------------

func save(s *State, r *Record, c Command) error {
	if err := s.owned(r, c, Active, Prepare); err != nil {
		return err
	}
	if err := current(r, c); err != nil {
		return err
	}
	if !slices.Contains(c.Nodes, r.Owner.Node) {
		return fmt.Errorf("%w: node %s must have the checkpoint of %s that it saves", ErrInvalid, r.Owner.Node, r.Cell)
	}
	return keep(r, c)
}

// keep notes a new checkpoint.
func keep(r *Record, c Command) error {
	if c.Checkpoint == "" {
		return fmt.Errorf("%w: a checkpoint without a hash", ErrInvalid)
	}
	nodes := slices.Clone(c.Nodes)
	slices.Sort(nodes)
	r.Checkpoint, r.Copies, r.Yielded, r.Before = c.Checkpoint, slices.Compact(nodes), nil, nil
	return nil
}

// current says why a command about a checkpoint was overtaken.
func current(r *Record, c Command) error {
	if r.Revision != c.Revision {
		return fmt.Errorf("%w: %s is at revision %d, %s names %d", ErrStale, r.Cell, r.Revision, c.Op, c.Revision)
	}
	return nil
}

func copied(_ *State, r *Record, c Command) error {
	if err := current(r, c); err != nil {
		return err
	}
	at, has := slices.BinarySearch(r.Copies, c.Seat.Node)
	switch {
	case c.Seat.Node == "" || c.Checkpoint == "" || c.Checkpoint != r.Checkpoint:
		return fmt.Errorf("%w: %s has another checkpoint", ErrStale, r.Cell)
	case has:
		return nil
	case len(r.Copies) == maxNodes:
		return fmt.Errorf("%w: %s has %d copies, which is the most", ErrInvalid, r.Cell, maxNodes)
	}
	r.Copies = slices.Insert(r.Copies, at, c.Seat.Node)
	return nil
}

func drop(_ *State, r *Record, c Command) error {
	if err := current(r, c); err != nil {
		return err
	}
	at, has := slices.BinarySearch(r.Copies, c.Seat.Node)
	switch {
	case !has:
		return nil
	case len(r.Copies) == 1, c.Seat.Node == r.Owner.Node, r.Phase == Frozen && c.Seat.Node == r.Target.Node:
		return fmt.Errorf("%w: node %s must keep the checkpoint of %s", ErrLastCopy, c.Seat.Node, r.Cell)
	}
	r.Copies = slices.Delete(r.Copies, at, at+1)
	if r.Phase == Active { // the cell has moved for good, and goes on from no other
		r.Before = nil
	}
	if at, yielded := slices.BinarySearch(r.Yielded, c.Seat.Node); yielded { // another copy is another try
		r.Yielded = slices.Delete(r.Yielded, at, at+1)
	}
	return nil
}

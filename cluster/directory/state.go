package directory

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Why nothing changed. An error of Apply is one of these, with what is there now in its text.
var (
	// ErrNoCell: there is no such cell.
	ErrNoCell = errors.New("no such cell")
	// ErrTaken: the name has a cell already.
	ErrTaken = errors.New("the name is taken")
	// ErrStale: the cell is in another epoch or phase, or somebody else's.
	ErrStale = errors.New("overtaken")
	// ErrNoSession: the session has ended, or never was.
	ErrNoSession = errors.New("no such session")
	// ErrLastCopy: without that copy the cell could not be restored.
	ErrLastCopy = errors.New("the last copy")
	// ErrLimited: there are as many cells as there may be.
	ErrLimited = errors.New("too many cells")
)

const (
	// maxCells in all, and of one tenant.
	maxCells      = 1 << 18
	maxCellsOfOne = maxCells / 2
)

// State is all records. It is not safe for concurrent use. The zero value has none.
type State struct {
	cells    map[Cell]*Record
	of       map[string]int           // how many a tenant has
	sessions map[string]uint64        // by node, those that are open
	leases   map[string]time.Duration // of these, where they say
	epoch    uint64                   // the highest of any cell so far
}

// Outcome of a command that was applied.
type Outcome struct {
	// Record of its cell, as it is then, or of a Release: was.
	Record Record
	// Session that Open has begun.
	Session uint64
	// Moved are the records of other cells that it has changed.
	Moved []Record
}

// rules has what each Op does.
var rules map[Op]func(*State, uint64, Command) (Outcome, error)

func init() { // its functions look into it, by way of valid
	rules = map[Op]func(*State, uint64, Command) (Outcome, error){
		Open: (*State).open, End: (*State).endSession, Claim: (*State).claim,
		Restart: of(restart), Release: (*State).release, Begin: of(begin), Freeze: of(freeze), Activate: of(activate),
		Abort: of(abort), Resume: of(resume), Save: of(save), Copy: of(copied), Drop: of(drop), Adopt: of(adopt), Yield: of(yield), Confine: of(confine), Recover: (*State).recovered,
	}
}

// Apply does what a command says, or nothing. The index is its entry's and higher than any
// before.
func (s *State) Apply(index uint64, c Command) (Outcome, error) {
	if err := c.valid(); err != nil {
		return Outcome{}, err
	}
	if s.cells == nil {
		s.cells, s.of, s.sessions = map[Cell]*Record{}, map[string]int{}, map[string]uint64{}
	}
	if s.leases == nil {
		s.leases = map[string]time.Duration{}
	}
	return rules[c.Op](s, index, c)
}

// Find returns a cell's record.
func (s *State) Find(c Cell) (Record, bool) {
	r, ok := s.cells[c]
	if !ok {
		return Record{}, false
	}
	return r.clone(), true
}

// Records of a tenant, or with "" all, by name.
func (s *State) Records(tenant string) []Record {
	var all []Record
	for c, r := range s.cells {
		if tenant == "" || c.Tenant == tenant {
			all = append(all, r.clone())
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return compareCells(a.Cell, b.Cell) })
	return all
}

// Session that a node has open; 0 for none.
func (s *State) Session(node string) uint64 { return s.sessions[node] }

// Sessions that are open, by node.
func (s *State) Sessions() map[string]uint64 { return maps.Clone(s.sessions) }

// Lease is how long leases of a node's session last; 0: it does not say.
func (s *State) Lease(node string) time.Duration { return s.leases[node] }

func (s *State) isOpen(seat Seat) bool {
	return seat.Session != 0 && s.sessions[seat.Node] == seat.Session
}

// ---- sessions -----------------------------------------------------------------------------------

func (s *State) open(index uint64, c Command) (Outcome, error) {
	if c.Seat.Node == "" {
		return Outcome{}, fmt.Errorf("%w: a session without a node", ErrInvalid)
	}
	var moved []Record
	if old, was := s.sessions[c.Seat.Node]; was {
		moved = s.close(Seat{c.Seat.Node, old})
	}
	s.sessions[c.Seat.Node] = index
	if c.Lease > 0 {
		s.leases[c.Seat.Node] = c.Lease
	}
	return Outcome{Session: index, Moved: moved}, nil
}

func (s *State) endSession(_ uint64, c Command) (Outcome, error) {
	if !s.isOpen(c.Seat) {
		return Outcome{}, fmt.Errorf("%w: %d of node %s", ErrNoSession, c.Seat.Session, c.Seat.Node)
	}
	return Outcome{Moved: s.close(c.Seat)}, nil
}

// close ends a session, and gives what it had to others: what it owned to a node that has
// the checkpoint, what was to come to it back to its owner.
func (s *State) close(seat Seat) (moved []Record) {
	delete(s.sessions, seat.Node)
	delete(s.leases, seat.Node)
	for _, c := range slices.SortedFunc(maps.Keys(s.cells), compareCells) {
		r := s.cells[c]
		switch {
		case r.Owner == seat:
			s.passOn(r)
		case r.Target == seat:
			r.giveBack()
		default:
			continue
		}
		s.changed(r)
		moved = append(moved, r.clone())
	}
	return moved
}

// passOn takes a cell from its owner, and gives it to whoever can have it.
func (s *State) passOn(r *Record) {
	if heir, ok := s.heir(r); ok {
		r.give(heir)
	} else {
		r.suspend()
	}
}

// heir of a cell whose owner has no session, or has yielded it: the target if it has the checkpoint, or
// the first who has and could run it as far as is known.
func (s *State) heir(r *Record) (Seat, bool) {
	if r.Phase == Frozen && s.isOpen(r.Target) && r.Holds(r.Target.Node) {
		return r.Target, true
	}
	for _, node := range r.Copies {
		if session := s.sessions[node]; session != 0 && !slices.Contains(r.Yielded, node) {
			return Seat{node, session}, true
		}
	}
	return Seat{}, false
}

// changed counts a change.
func (s *State) changed(r *Record) {
	r.Revision++
	s.epoch = max(s.epoch, r.Epoch)
}

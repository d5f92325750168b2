package directory

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// snapshotVersion is of the format. One that is higher is refused.
const snapshotVersion = 1

// header is the first line of a snapshot; a line for each record follows.
type header struct {
	Version  int                      `json:"pyisolate_directory"`
	Epoch    uint64                   `json:"epoch"`
	Sessions map[string]uint64        `json:"sessions"`
	Leases   map[string]time.Duration `json:"leases,omitempty"`
	Cells    int                      `json:"cells"`
}

// ErrSnapshot is of a snapshot that cannot be read.
var ErrSnapshot = errors.New("unreadable snapshot of the directory")

// Copy is what s is now; changes of s do not reach it.
func (s *State) Copy() *State {
	c := &State{cells: make(map[Cell]*Record, len(s.cells)), of: maps.Clone(s.of), sessions: maps.Clone(s.sessions), leases: maps.Clone(s.leases), epoch: s.epoch}
	for k, r := range s.cells {
		same := *r // its lists are replaced, never changed
		c.cells[k] = &same
	}
	return c
}

// WriteTo writes all of the state, in an order that depends on it alone.
func (s *State) WriteTo(w io.Writer) (int64, error) {
	counted := &counter{w: w}
	b := bufio.NewWriter(counted)
	out := json.NewEncoder(b)
	if err := out.Encode(header{snapshotVersion, s.epoch, s.sessions, s.leases, len(s.cells)}); err != nil {
		return counted.n, err
	}
	for _, c := range slices.SortedFunc(maps.Keys(s.cells), compareCells) {
		if err := out.Encode(s.cells[c]); err != nil {
			return counted.n, err
		}
	}
	err := b.Flush()
	return counted.n, err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// Read replaces the state by what WriteTo wrote, or leaves it when that cannot be read.
func (s *State) Read(from io.Reader) error {
	in := json.NewDecoder(bufio.NewReader(from))
	in.DisallowUnknownFields()
	var h header
	if err := in.Decode(&h); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if h.Version != snapshotVersion {
		return fmt.Errorf("%w: it has format %d, this version knows %d: run a newer one", ErrSnapshot, h.Version, snapshotVersion)
	}
	if h.Cells < 0 || h.Cells > maxCells {
		return fmt.Errorf("%w: it has %d cells", ErrSnapshot, h.Cells)
	}
	next := &State{cells: map[Cell]*Record{}, of: map[string]int{}, sessions: h.Sessions, leases: h.Leases, epoch: h.Epoch}
	if next.sessions == nil {
		next.sessions = map[string]uint64{}
	}
	for node, lease := range next.leases {
		if next.sessions[node] == 0 || lease <= 0 || lease > MaxLease {
			return fmt.Errorf("%w: a lease of %s of node %.80q", ErrSnapshot, lease, node)
		}
	}
	for i := range h.Cells {
		r := &Record{}
		if err := in.Decode(r); err != nil {
			return fmt.Errorf("%w: record %d of %d: %w", ErrSnapshot, i+1, h.Cells, err)
		}
		if err := next.sound(r); err != nil {
			return fmt.Errorf("%w: record %d of %d: %w", ErrSnapshot, i+1, h.Cells, err)
		}
		next.cells[r.Cell] = r
		next.of[r.Cell.Tenant]++
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the last record", ErrSnapshot)
	}
	*s = *next
	return nil
}

// sound says that a checkpoint has copies, and only nodes with one have yielded it.
func (b Saved) sound() bool {
	return (b.Checkpoint == "") == (len(b.Copies) == 0) && slices.IsSorted(b.Copies) && len(b.Copies) <= maxNodes && slices.IsSorted(b.Yielded) &&
		!slices.ContainsFunc(b.Yielded, func(node string) bool { return !slices.Contains(b.Copies, node) })
}

// sound says what no command could have made of a record.
func (s *State) sound(r *Record) error {
	_, twice := s.cells[r.Cell]
	switch {
	case twice:
		return fmt.Errorf("%s is there twice", r.Cell)
	case r.Epoch == 0 || r.Epoch > s.epoch:
		return fmt.Errorf("%s is in epoch %d of %d", r.Cell, r.Epoch, s.epoch)
	case !slices.Contains([]Phase{Active, Prepare, Frozen, Suspended}, r.Phase):
		return fmt.Errorf("%s is %.32q", r.Cell, r.Phase)
	case (r.Phase == Suspended) != (r.Owner == Seat{}), r.Owner != (Seat{}) && !s.isOpen(r.Owner):
		return fmt.Errorf("%s is %s, and its owner %s", r.Cell, r.Phase, r.Owner.Node)
	case (r.Phase == Prepare || r.Phase == Frozen) != s.isOpen(r.Target):
		return fmt.Errorf("%s is %s, and its target %q", r.Cell, r.Phase, r.Target.Node)
	case !Saved{r.Checkpoint, r.Copies, r.Yielded}.sound():
		return fmt.Errorf("%s has %d copies of its checkpoint, which %d have yielded", r.Cell, len(r.Copies), len(r.Yielded))
	case r.Before != nil && !r.Before.sound():
		return fmt.Errorf("%s has %d copies of the checkpoint before, which %d have yielded", r.Cell, len(r.Before.Copies), len(r.Before.Yielded))
	case r.Phase == Frozen && (!r.Holds(r.Owner.Node) || !r.Holds(r.Target.Node)):
		return fmt.Errorf("%s is frozen without copies at both ends", r.Cell)
	}
	return nil
}

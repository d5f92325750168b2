package directory

import (
	"slices"
	"strings"
)

// Cell names a cell.
type Cell struct {
	Tenant string `json:"tenant"`
	Name   string `json:"name"`
}

// String is TENANT/NAME.
func (c Cell) String() string { return c.Tenant + "/" + c.Name }

// Seat is a node in one of its sessions.
type Seat struct {
	Node    string `json:"node,omitempty"`
	Session uint64 `json:"session,omitempty"`
}

// Phase of a cell.
type Phase string

const (
	// Active: the owner runs it, or starts it.
	Active Phase = "active"
	// Prepare: the owner runs it, and the target makes room.
	Prepare Phase = "prepare"
	// Frozen: nobody runs it; source and target have its checkpoint.
	Frozen Phase = "frozen"
	// Suspended: nobody has it. It can be adopted by a node with a copy of its checkpoint.
	Suspended Phase = "suspended"
)

// Record is what is agreed about a cell.
type Record struct {
	Cell  Cell   `json:"cell"`
	Epoch uint64 `json:"epoch"`
	// Revision counts the changes of this record.
	Revision uint64 `json:"revision"`
	Phase    Phase  `json:"phase"`
	// Owner runs it, or of a frozen one: ran it. None when it is suspended.
	Owner Seat `json:"owner,omitzero"`
	// Lost is the node that ran it last, of a suspended one.
	Lost string `json:"lost,omitempty"`
	// Target and Migration of a move under way.
	Target    Seat   `json:"target,omitzero"`
	Migration string `json:"migration,omitempty"`
	// Checkpoint is the hash of the last one that counts, Copies the nodes that have it on
	// their disks, in order.
	Checkpoint string   `json:"checkpoint,omitempty"`
	Copies     []string `json:"copies,omitempty"`
	// Yielded are those of Copies that could not run it from there, in order.
	Yielded []string `json:"yielded,omitempty"`
	// Before is what counted before the move that Checkpoint is of. It counts again when the source goes on,
	// and is forgotten when nobody can come back to it. Nil: nothing is remembered.
	Before *Saved `json:"before,omitempty"`
	// Claim is the id of the request that made it.
	Claim string `json:"claim,omitempty"`
	// Policy and Version that it was last put under.
	Policy  string `json:"policy,omitempty"`
	Version uint64 `json:"version,omitempty"`
}

// Saved is a checkpoint that may come to count again; without a hash, that there was none. It is replaced, never
// changed.
type Saved struct {
	Checkpoint string   `json:"checkpoint,omitempty"`
	Copies     []string `json:"copies,omitempty"`
	Yielded    []string `json:"yielded,omitempty"`
}

// Needs tells whether a node must keep a checkpoint: it counts, or may come to count again.
func (r Record) Needs(node, checkpoint string) bool {
	return r.Checkpoint == checkpoint && r.Holds(node) ||
		r.Before != nil && r.Before.Checkpoint == checkpoint && slices.Contains(r.Before.Copies, node)
}

// Holds tells whether a node has the checkpoint.
func (r Record) Holds(node string) bool { return slices.Contains(r.Copies, node) }

func (r Record) clone() Record {
	r.Copies, r.Yielded = slices.Clone(r.Copies), slices.Clone(r.Yielded)
	return r
}

// give makes a seat the owner, in the next epoch.
func (r *Record) give(to Seat) {
	r.Phase, r.Owner, r.Target, r.Migration, r.Lost = Active, to, Seat{}, "", ""
	r.Epoch++
}

// putBack has count again what counted before a move.
func (r *Record) putBack() {
	if b := r.Before; b != nil {
		r.Checkpoint, r.Copies, r.Yielded, r.Before = b.Checkpoint, slices.Clone(b.Copies), slices.Clone(b.Yielded), nil
	}
}

// giveBack has the owner go on, whose move has come to nothing.
func (r *Record) giveBack() {
	if r.Phase == Frozen {
		r.putBack()
	}
	r.give(r.Owner)
}

// suspend takes it from everybody.
func (r *Record) suspend() {
	lost := r.Owner.Node
	r.give(Seat{})
	r.Phase, r.Lost = Suspended, lost
}

func compareCells(a, b Cell) int {
	if c := strings.Compare(a.Tenant, b.Tenant); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

package actors

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// ID tells envelopes apart. Who sends one again, because it does not know what became of it,
// sends it with the same id.
type ID [16]byte

// NewID returns one that nobody else has.
func NewID() (id ID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Address is a cell's name. Names are a tenant's own.
type Address struct{ Tenant, Name string }

func (a Address) String() string { return a.Tenant + "/" + a.Name }

// Envelope is one message to one cell.
type Envelope struct {
	// ID, when not zero, has the cell remember what became of it: one with the same id is
	// answered as the first was, whatever its epoch and state, of the last 1024 that were
	// answered, or 10 minutes. One that was not begun is not remembered.
	ID ID
	To Address
	// Life is the cell that it is for, as its Plan has it; "": whichever has the name.
	Life string
	// Epoch is the incarnation that it is for; 0: whichever there is. One that has moved since is still
	// meant by the epochs that it had before.
	Epoch uint64
	// Deadline, when not zero, is when it is not worth beginning any more.
	Deadline time.Time
	// Acknowledged has it sent again, with the same ID, when it is on another node and it is not
	// known what became of it. It needs an ID.
	Acknowledged bool
	// Trace is the trace context and Principal who asks; both are carried as they are.
	Trace, Principal string
	Body             Body

	news bool // it was published, and its ID is that of all who hear it
}

// Body is what is asked: Exec, Call, Post, Snapshot, Move, Recv, Inspect, Reload, Quarantine, Kill or
// Close.
type Body interface {
	// size is what it takes of the credit, in bytes.
	size() int
	// line says whom it waits for.
	line() line
}

type line uint8

const (
	runs  line = iota // for what runs code, or takes it out
	posts             // for what is put into the inbox
	lines             // so many have an order; the others wait for nobody
	waits             // may take long
	looks             // does not
	ends              // ends something or changes what it may do, and is always let in
	moves             // waits for both lines, and is always let in
)

// Bodies.
type (
	// Exec runs source in the cell's __main__. No answer but the error.
	Exec struct{ Source cell.Source }
	// Call runs one function and is answered by what it returned.
	Call struct{ Invocation cell.Invocation }
	// Post appends to the inbox that the guest's recv reads. It is answered when it is there.
	Post struct{ Value cell.Value }
	// Snapshot has Take take the cell's state out, in the line of what runs code, and is answered
	// by what Take returns. Take is told of which incarnation it is, and may leave the cell frozen.
	// It is for cells of this node alone.
	Snapshot struct {
		Take func(ctx context.Context, c cell.Checkpointer, epoch uint64) (cell.Value, error)
	}
	// Recv takes what the guest posted: at least one item, waiting for it until the deadline,
	// and what else is there, up to Max items or about 1 MiB.
	Recv struct {
		Max int // 0 is 1
		// AtOnce takes what is there, and may be answered by nothing.
		AtOnce bool
	}
	// Inspect is answered by a report; it works in every state.
	Inspect struct{}
	// Reload replaces the policy.
	Reload struct{ Revision cell.Revision }
	// Quarantine interrupts the guest and lets nothing more run in it; it is not started again.
	Quarantine struct{ Reason string }
	// Kill ends the cell at once; it is not started again, and keeps its name a while.
	Kill struct{ Reason string }
	// Close ends the cell and gives its name back.
	Close struct{}
)

func (b Exec) size() int {
	n := len(b.Source.Code)
	for _, arg := range b.Source.Args {
		n += len(arg)
	}
	return n
}

func (b Call) size() int {
	i := b.Invocation
	return len(i.Target) + len(i.Args) + len(i.Kwargs) + len(i.Raw)
}

func (b Post) size() int     { return len(b.Value.Data) }
func (Snapshot) size() int   { return 0 }
func (Recv) size() int       { return 0 }
func (Inspect) size() int    { return 0 }
func (Reload) size() int     { return 0 }
func (Quarantine) size() int { return 0 }
func (Kill) size() int       { return 0 }
func (Close) size() int      { return 0 }

func (Exec) line() line       { return runs }
func (Call) line() line       { return runs }
func (Post) line() line       { return posts }
func (Snapshot) line() line   { return runs }
func (Recv) line() line       { return waits }
func (Inspect) line() line    { return looks }
func (Reload) line() line     { return ends }
func (Quarantine) line() line { return ends }
func (Kill) line() line       { return ends }
func (Close) line() line      { return ends }

// Reply is what became of an envelope; which fields have something depends on its body.
type Reply struct {
	// Epoch is the incarnation that answered, 0 when none was reached.
	Epoch    uint64
	Value    cell.Value
	Items    []cell.Item
	Report   cell.Report
	Reloaded cell.Reloaded
	Err      error
	// Unsure, with ErrMoved: it was asked before, and may have been begun then.
	Unsure bool
}

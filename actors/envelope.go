package actors

import (
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
	// ID is made up when it is zero.
	ID ID
	To Address
	// Epoch is the incarnation that it is for; 0: whichever there is.
	Epoch uint64
	// Deadline, when not zero, is when it is not worth beginning any more.
	Deadline time.Time
	// Trace is the trace context and Principal who asks; both are carried as they are.
	Trace, Principal string
	Body             Body
}

// Body is what is asked: Exec, Call, Post, Recv, Inspect, Reload, Quarantine, Kill or Close.
type Body interface {
	// size is what it takes of the credit, in bytes.
	size() int
	// line says whom it waits for.
	line() line
}

type line uint8

const (
	aside line = iota // for nobody
	runs              // for what runs code
	posts             // for what is put into the inbox
	lines
)

// Bodies.
type (
	// Exec runs source in the cell's __main__. No answer but the error.
	Exec struct{ Source cell.Source }
	// Call runs one function and is answered by what it returned.
	Call struct{ Invocation cell.Invocation }
	// Post appends to the inbox that the guest's recv reads. It is answered when it is there.
	Post struct{ Value cell.Value }
	// Recv takes the next of what the guest posted, waiting for it until the deadline.
	Recv struct{}
	// Inspect is answered by a report; it works in every state.
	Inspect struct{}
	// Reload replaces the policy.
	Reload struct{ Revision cell.Revision }
	// Quarantine interrupts the guest and lets nothing more run in it.
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
func (Recv) size() int       { return 0 }
func (Inspect) size() int    { return 0 }
func (Reload) size() int     { return 0 }
func (Quarantine) size() int { return 0 }
func (Kill) size() int       { return 0 }
func (Close) size() int      { return 0 }

func (Exec) line() line       { return runs }
func (Call) line() line       { return runs }
func (Post) line() line       { return posts }
func (Recv) line() line       { return aside }
func (Inspect) line() line    { return aside }
func (Reload) line() line     { return aside }
func (Quarantine) line() line { return aside }
func (Kill) line() line       { return aside }
func (Close) line() line      { return aside }

// Reply is what became of an envelope; which fields have something depends on its body.
type Reply struct {
	// Epoch is the incarnation that answered, 0 when none was reached.
	Epoch    uint64
	Value    cell.Value
	Item     cell.Item
	Report   cell.Report
	Reloaded cell.Reloaded
	Err      error
}

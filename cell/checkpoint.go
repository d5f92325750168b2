package cell

import (
	"context"
	"io"
)

// MaxChunk is the most bytes that [Checkpointer.Snapshot] hands out at once.
const MaxChunk = 256 << 10

// Checkpointer takes a cell's state out, and puts it into another cell. The stream holds what
// the guest's __main__ holds, the inbox, what was posted and not received, and the counters. It
// is neither encrypted nor authenticated: whoever keeps it seals it, and opens only what was
// sealed. Nothing but a cell ever makes objects of it.
type Checkpointer interface {
	// Snapshot writes the cell's state to `to`, in chunks of at most [MaxChunk] bytes that
	// belong to `to` until it returns. It waits its turn in the line of Exec and Call, and the
	// cell holds no more of the stream than a few chunks: a `to` that waits makes it wait. The
	// guest's hooks run in it, bounded by ctx and the budget of processor time; limits of wall
	// time do not count.
	//
	// After it the cell is frozen: until Thaw it runs nothing, operations and Recv wait, and
	// Send fails with Busy. If it ends frozen, what was posted and not received is not to be
	// received any more: it belongs to the snapshot.
	//
	// When it fails the cell goes on by itself. NotCheckpointable says in its message where
	// the guest holds what cannot be carried; an error of `to` is returned as it is; Invalid: it
	// is frozen already.
	Snapshot(ctx context.Context, to func(chunk []byte) error) (Snapshot, error)
	// Thaw lets a frozen cell go on. Of one that is not frozen it does nothing.
	Thaw(ctx context.Context) error
	// Restore reads a stream that Snapshot wrote, into a cell in which nothing has run; one in
	// which something has is refused with Invalid, and goes on. The guest's objects are made
	// in the cell, by its policy and its limits, and its hooks run when the stream has come to
	// its end, whole. A restore that fails ends the cell. Nobody receives or sends meanwhile.
	Restore(ctx context.Context, from io.Reader) error
}

// Snapshot says what a stream holds.
type Snapshot struct {
	// Size of the stream in bytes.
	Size int64 `json:"size"`
	// Python is the ABI that the state needs: the implementation's cache tag, "cpython-314".
	// Functions are carried as its code, so another one refuses them.
	Python string `json:"python"`
	// Objects that have an identity of their own, about: numbers have none.
	Objects int64 `json:"objects"`
	// Inbox and Outbox count values.
	Inbox  int `json:"inbox"`
	Outbox int `json:"outbox"`
	// Counters are what the cell has used and said: CPU, Output, Posts, Logs, LogsLost,
	// Metrics, Requests and Denials are set. They go on in the cell that is restored.
	Counters Report `json:"counters"`
}

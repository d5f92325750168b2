package wire

import "github.com/pyisolate/pyisolate/cell"

// What one cell may have under way on a connection. Both ends count it: the host, so
// that a guest that floods waits or is told Busy, and the node, so that its memory
// does not depend on what a host does.
const (
	// PostBytes is the credit for posts that a cell begins with. It comes back as
	// somebody receives them.
	PostBytes = 4 << 20
	// PostCost is what a post takes of it beside its own bytes, so that it bounds
	// their number, too.
	PostCost = 64
	// MaxRequests is how many requests of a cell may be under way, from the question
	// until the guest has taken the answer.
	MaxRequests = 256
)

// Overdraft is how far a cell that was interrupted may go below its credit for posts:
// what it has written must not hold up its last answer.
func Overdraft(l cell.Limits) int { return 2*FrameBytes(l) + 1<<20 }

// FrameBytes is the most that a cell says at once: beside the value there is room for names and
// a traceback.
func FrameBytes(l cell.Limits) int { return l.MessageBytes + 1<<20 }

// ChunkWindow is how many chunks of state may be on their way that nobody has asked for.
const ChunkWindow = 8

// QueueBytes bounds each of a cell's other queues: operations, what others sent,
// requests, and answers that the guest does not read.
func QueueBytes(l cell.Limits) int { return max(16<<20, 2*l.MessageBytes) }

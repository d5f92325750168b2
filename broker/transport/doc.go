// Package transport moves bytes between a node and one of its hosts. It knows
// neither frames nor keys: what it carries is sealed by package seal.
//
// [Socket] is a stream socket used with plain system calls, [Polled] the same for a
// process with many, [Ring] the same through io_uring, and [Stream] whatever else reads and
// writes, a virtual machine's serial port among them. [Open] chooses between Polled and Ring,
// for a node. A host uses a Socket, whatever the node does: it has one, and io_uring passes by
// its seccomp filter.
//
// # Threading
//
// One goroutine reads at a time and one writes, independently of each other.
// Close may be called at any time and frees both.
package transport

// Transport is a reliable stream of bytes in both directions.
type Transport interface {
	// TryRead reads what has come, without waiting: 0 when that is nothing. The
	// end of the stream is io.EOF, or os.ErrClosed when this side closed it.
	TryRead(p []byte) (int, error)
	// Await waits until TryRead may have something to say. It may return early.
	Await()
	// Write writes all of p and does not keep it. It waits as needed. When it fails the stream has
	// ended in both directions: TryRead reads what is there of what had come, and then says so.
	Write(p []byte) error
	// TryWrite is Write of what there is room for now, nothing perhaps. It does not wait.
	TryWrite(p []byte) (int, error)
	// Close ends every call, those under way included, and is idempotent.
	Close() error
}

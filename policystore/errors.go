package policystore

import (
	"errors"
	"fmt"

	"github.com/pyisolate/pyisolate/policystore/internal/boltfile"
)

// What a caller can act on. Errors of this package wrap one of these, and say which
// policy, token or file they are about.
var (
	// ErrNotFound: there is no such policy, version or token, or it is deleted or no longer
	// kept.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the newest version is not the expected one. Read it and decide again.
	ErrConflict = errors.New("conflict")
	// ErrDenied: the principal's role or tenant does not permit this.
	ErrDenied = errors.New("denied")
	// ErrInvalid: the request or the document in it is wrong. For a document the error
	// also wraps what the validation found.
	ErrInvalid = errors.New("invalid")
	// ErrLimited: a bound is reached: of stored things, of changes in a short time, or of
	// failed authentications.
	ErrLimited = errors.New("limit reached")
	// ErrUnauthenticated: the secret is malformed, unknown, expired or revoked.
	ErrUnauthenticated = errors.New("unauthenticated")
)

var (
	// ErrCompacted: events that the watcher has not seen are no longer kept. List
	// policies and watch from the listing's index.
	ErrCompacted = errors.New("compacted")
	// ErrNotLeader: no leader can be reached. Nothing was changed. Try again.
	ErrNotLeader = errors.New("no leader")
	// ErrStale: this node has not known for too long whether its policies are the newest.
	ErrStale = errors.New("policies may be old")
	// ErrUncertain: leadership was lost, or the store closed, while the change was under
	// way: it may have been made. Repeat it with the same request id.
	ErrUncertain = errors.New("outcome unknown")
)

var (
	// ErrCorrupt: a file is damaged; see [CorruptError].
	ErrCorrupt = errors.New("corrupt")
	// ErrInUse: another process has the data directory open.
	ErrInUse = errors.New("in use")
	// ErrFailed: a committed change could not be made here, as the disk refused a write. The
	// store does nothing more until it is opened again, when the change is made from the log.
	ErrFailed = errors.New("failed")
	// ErrNewer: an entry of the log, a snapshot, a file or another node's message is of a newer
	// version than this node. It does nothing with it; after an entry or a snapshot it also is
	// ErrFailed. Update the node.
	ErrNewer = errors.New("made by a newer version")
	// ErrClock: this node's clock went ahead by more than an hour at once. Nothing is changed
	// until it is right, or was so for ten minutes.
	ErrClock = errors.New("clock")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("closed")
)

// CorruptError says what in which file is damaged. docs/policystore.md has the way back
// for each file.
type CorruptError struct {
	File string // path
	What string // where in it, and what is wrong
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: damaged: %s; see \"When a file is damaged\" in docs/policystore.md", e.File, e.What)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// corrupt makes damage that a lower package found an error of this one, and leaves other
// errors alone.
func corrupt(err error) error {
	var d *boltfile.Damage
	if errors.As(err, &d) {
		return &CorruptError{File: d.File, What: d.What}
	}
	return err
}

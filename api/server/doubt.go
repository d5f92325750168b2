package server

import (
	"errors"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
)

// doubt is whether an earlier try of a request may have been done. Where it may, a later try that
// fails for a reason of its own says nothing of the first.
type doubt bool

// add notes how a try has failed that is followed by another.
func (d *doubt) add(err error) {
	*d = *d || cell.KindOf(err) == cell.UnknownOutcome
}

// told is the error of the last try for the client: UnknownOutcome, unless it settles what became
// of those before.
func (d doubt) told(err error) error {
	if !bool(d) || cell.KindOf(err) == cell.UnknownOutcome || settles(err) {
		return err
	}
	return cell.Errorf(cell.UnknownOutcome, "an earlier try may have been done, the last one failed: %v", err)
}

// ofGuests are the kinds of what came of running something, and of requests that no cell runs. A
// cell answers with the first outcome when the same request comes again.
var ofGuests = []cell.Kind{cell.GuestError, cell.MemoryExceeded, cell.CPUExceeded, cell.OutputExceeded,
	cell.ChildWorkExceeded, cell.NetworkExceeded, cell.PolicyDenied, cell.Invalid, cell.UnknownOutcome}

// settles reports whether a node's answer is the cell's, to this request or the same one before.
// Others come from before the cell has looked whether it knows the request: no room, no such cell,
// no time.
func settles(err error) bool {
	answered := fault.Answered(err)
	for _, kind := range ofGuests {
		if errors.Is(answered, kind) {
			return true
		}
	}
	return false
}

package server

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

// What the last try failed by is told as it is, unless an earlier one may have been done and
// nothing is said of that.
func TestDoubt(t *testing.T) {
	unknown := cell.Errorf(cell.UnknownOutcome, "lost")
	sent := func(err error) error {
		answer, _ := fault.Answer(err)
		return answer
	}
	for _, c := range []struct {
		name    string
		last    error
		settles bool
	}{
		{"the guest's own", sent(cell.Errorf(cell.GuestError, "oops")), true},
		{"a limit", sent(cell.Errorf(cell.MemoryExceeded, "64 MiB")), true},
		{"malformed", sent(cell.Errorf(cell.Invalid, "args")), true},
		{"an answer that is not kept", sent(cell.Errorf(cell.UnknownOutcome, "not kept")), true},
		{"no such cell", sent(policystore.ErrNotFound), false},
		{"no room", sent(cell.Errorf(cell.Busy, "full")), false},
		{"too many calls", sent(policystore.ErrLimited), false},
		{"ended", sent(cell.Errorf(cell.CellGone, "killed")), false},
		{"too late to begin", sent(cell.Errorf(cell.Timeout, "late")), false},
		{"the node's fault", sent(fault.ErrInternal), false},
		{"not sent", unreached("n2", fault.ErrUnavailable), false},
		{"no time left", context.DeadlineExceeded, false},
		{"another error of the way", connect.NewError(connect.CodeUnavailable, errors.New("refused stream")), false},
	} {
		var before doubt
		before.add(unreached("n2", fault.ErrUnavailable)) // nothing was begun
		if err := before.told(c.last); err != c.last {    //nolint:errorlint // the very one
			t.Errorf("%s, without a doubt: %v", c.name, err)
		}
		before.add(unknown)
		before.add(unreached("n2", fault.ErrUnavailable))
		err := before.told(c.last)
		if got := cell.KindOf(err) == cell.UnknownOutcome; got == c.settles {
			t.Errorf("%s, in doubt: %v", c.name, err)
		}
	}
}

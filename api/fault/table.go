package fault

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

var (
	// ErrUnavailable: the node is ending, or cannot be reached.
	ErrUnavailable = errors.New("the node is not available")
	// ErrUnimplemented: the node has no such call, or nothing behind it.
	ErrUnimplemented = errors.New("the node cannot do this")
	// ErrRefused: it could be done, and is not, for the harm that it would do.
	ErrRefused = errors.New("refused")
	// ErrInternal: the node could not do its work; its log says why.
	ErrInternal = errors.New("the node could not do it; its log says why")
)

// row is one word of the API's vocabulary.
type row struct {
	kind string
	code connect.Code
	// targets are what an error of this kind matches, on both sides.
	targets []error
}

// internal is what has no row of its own.
var internal = row{"Internal", connect.CodeInternal, []error{ErrInternal}}

// table is looked through in its order.
var table = []row{
	of(cell.PolicyDenied, connect.CodePermissionDenied),
	of(cell.PolicyAuth, connect.CodePermissionDenied, policystore.ErrDenied),
	// Before what ends a wait: that something may have been done says more than why it is not known.
	of(cell.UnknownOutcome, connect.CodeUnknown, policystore.ErrUncertain),
	of(cell.Timeout, connect.CodeDeadlineExceeded, context.DeadlineExceeded),
	of(cell.MemoryExceeded, connect.CodeResourceExhausted),
	of(cell.CPUExceeded, connect.CodeResourceExhausted),
	of(cell.OutputExceeded, connect.CodeResourceExhausted),
	of(cell.ChildWorkExceeded, connect.CodeResourceExhausted),
	of(cell.NetworkExceeded, connect.CodeResourceExhausted),
	of(cell.GuestError, connect.CodeUnknown),
	of(cell.CellGone, connect.CodeFailedPrecondition),
	of(cell.Busy, connect.CodeUnavailable),
	of(cell.Invalid, connect.CodeInvalidArgument, policystore.ErrInvalid, refresh.ErrSource),
	of(cell.Cancelled, connect.CodeCanceled, context.Canceled),
	of(cell.NotCheckpointable, connect.CodeFailedPrecondition),
	{"NotFound", connect.CodeNotFound, []error{policystore.ErrNotFound, refresh.ErrNotFound}},
	{"Conflict", connect.CodeAborted, []error{policystore.ErrConflict}},
	{"Unauthenticated", connect.CodeUnauthenticated, []error{policystore.ErrUnauthenticated}},
	{"Limited", connect.CodeResourceExhausted, []error{policystore.ErrLimited}},
	{"Compacted", connect.CodeOutOfRange, []error{policystore.ErrCompacted}},
	{"NotLeader", connect.CodeUnavailable, []error{policystore.ErrNotLeader}},
	{"Corrupt", connect.CodeDataLoss, []error{policystore.ErrCorrupt}},
	{"Refused", connect.CodeFailedPrecondition, []error{refresh.ErrRefused, ErrRefused}},
	{"SourceUnavailable", connect.CodeUnavailable, []error{refresh.ErrUnavailable}},
	{"Unavailable", connect.CodeUnavailable, []error{ErrUnavailable, policystore.ErrClosed, policystore.ErrStale, refresh.ErrClosed}},
	{"Unimplemented", connect.CodeUnimplemented, []error{ErrUnimplemented}},
	internal,
}

// of is the row of a word that cells have, too.
func of(kind cell.Kind, code connect.Code, more ...error) row {
	return row{kind.String(), code, append([]error{kind}, more...)}
}

// rowOf finds the row of an error that happened here.
func rowOf(err error) row {
	if kind := cell.KindOf(err); kind != cell.KindUnknown {
		return rowNamed(kind.String())
	}
	for _, r := range table {
		for _, target := range r.targets {
			if errors.Is(err, target) {
				return r
			}
		}
	}
	return internal
}

// rowNamed finds the row of an error that a node sent. A word that this build does not know
// is internal.
func rowNamed(kind string) row {
	for _, r := range table {
		if r.kind == kind {
			return r
		}
	}
	return internal
}

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// Exit statuses. Changing one breaks scripts.
const (
	statusGuest     = 1   // the guest's own exception
	statusUsage     = 2   // the command line or the input is wrong
	statusUnmet     = 3   // doctor: the kernel lacks what the mode needs
	statusFailed    = 4   // conformance: a probe failed
	statusNotFound  = 5   // a node has no such thing, or no longer
	statusConflict  = 6   // the newest version is not the expected one
	statusNoNode    = 7   // there is no node, or it ends, or is cut off, or a source is
	statusRefused   = 8   // the node does not do it, for the harm that it would do, or cannot; or a cluster is not well
	statusLimited   = 9   // a bound of the node's
	statusInternal  = 70  // the node could not do its work
	statusCorrupt   = 71  // a file is damaged
	statusKindBase  = 10  // plus the cell.Kind for policy and quota errors
	statusInterrupt = 130 // Ctrl-C
)

// exitStatuses is what `run --help`, the manual pages and docs/cli.md list; tests
// hold them to it.
var exitStatuses = []struct {
	status  int
	meaning string
}{
	{0, "the program ran to its end, or called sys.exit() with nothing or 0"},
	{statusGuest, "the program raised an exception of its own"},
	{statusUsage, "the command line or the input is wrong (Invalid)"},
	{statusUnmet, "doctor: the kernel lacks something that the mode needs"},
	{statusFailed, "conformance: a probe failed"},
	{statusNotFound, "the node has no such policy, version, token, source or cell, or no longer has it (NotFound, Compacted)"},
	{statusConflict, "the policy's newest version is not the one that --expect names"},
	{statusNoNode, "no node or source answers, or it cannot answer now (Unavailable, NotLeader, SourceUnavailable): try again"},
	{statusRefused, "Refused, Unimplemented: the node does not do it; cluster status: something is wrong"},
	{statusLimited, "Limited: more than the node does at once, or keeps; the message names the limit"},
	{statusOfKind(cell.PolicyDenied), "PolicyDenied: the policy does not allow what the program tried"},
	{statusOfKind(cell.PolicyAuth), "PolicyAuth: the caller's token, role or tenant does not permit it"},
	{statusOfKind(cell.Timeout), "Timeout: a wall-time limit or a deadline passed"},
	{statusOfKind(cell.MemoryExceeded), "MemoryExceeded: more memory than --mem"},
	{statusOfKind(cell.CPUExceeded), "CPUExceeded: the CPU budget is used up"},
	{statusOfKind(cell.OutputExceeded), "OutputExceeded: more output than --output"},
	{statusOfKind(cell.ChildWorkExceeded), "ChildWorkExceeded: more threads than --children"},
	{statusOfKind(cell.NetworkExceeded), "NetworkExceeded: reserved, nothing raises it yet"},
	{statusOfKind(cell.CellGone), "CellGone: the cell was closed, killed or quarantined, or has crashed"},
	{statusOfKind(cell.Busy), "Busy: a queue is full, or no host can take the cell"},
	{statusOfKind(cell.UnknownOutcome), "UnknownOutcome: a change of a policy may or may not have been made"},
	{statusOfKind(cell.NotCheckpointable), "NotCheckpointable: the guest has something that no checkpoint can carry"},
	{statusInternal, "the node could not do its work: no usable Python, no host; or its output could not be written"},
	{statusCorrupt, "Corrupt: a file is damaged; the message names it"},
	{statusInterrupt, "interrupted by Ctrl-C or SIGTERM"},
}

// exitStatusHelp is the list as a paragraph of a command's long help.
func exitStatusHelp() string {
	var b strings.Builder
	b.WriteString("\n\nExit status:")
	for _, s := range exitStatuses {
		fmt.Fprintf(&b, "\n  %3d  %s", s.status, s.meaning)
	}
	return b.String()
}

// exitStatus is an error that has been shown already.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a wrong command line or input.
type usageError struct{ error }

func statusOf(err error) int {
	if kind := cell.KindOf(err); kind != cell.KindUnknown {
		return statusOfKind(kind)
	}
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return statusUsage
	case errors.Is(err, policystore.ErrNotFound), errors.Is(err, policystore.ErrCompacted):
		return statusNotFound
	case errors.Is(err, policystore.ErrConflict):
		return statusConflict
	case errors.Is(err, policystore.ErrUnauthenticated):
		return statusOfKind(cell.PolicyAuth)
	case errors.Is(err, fault.ErrUnavailable), errors.Is(err, policystore.ErrNotLeader), errors.Is(err, refresh.ErrUnavailable):
		return statusNoNode
	case errors.Is(err, fault.ErrRefused), errors.Is(err, refresh.ErrRefused), errors.Is(err, fault.ErrUnimplemented):
		return statusRefused
	case errors.Is(err, policystore.ErrLimited):
		return statusLimited
	case errors.Is(err, policystore.ErrCorrupt):
		return statusCorrupt
	}
	return statusInternal
}

func statusOfKind(kind cell.Kind) int {
	switch kind {
	case cell.GuestError:
		return statusGuest
	case cell.Invalid:
		return statusUsage
	case cell.Cancelled:
		return statusInterrupt
	default:
		return statusKindBase + int(kind)
	}
}

package cell

import (
	"errors"
	"fmt"
	"time"
)

// Kind is a word of the error vocabulary. Its number is part of the wire
// format; its name is shown to people, to gRPC clients and, as an exception
// class, to Python.
type Kind uint8

const (
	// KindUnknown is never sent; it marks an error from outside the vocabulary.
	KindUnknown Kind = iota
	// PolicyDenied: the policy does not allow what was tried.
	PolicyDenied
	// PolicyAuth: the caller may not change or use this policy.
	PolicyAuth
	// Timeout: the deadline or the wall-time limit passed; the guest was interrupted.
	Timeout
	// MemoryExceeded: the guest asked for more memory than its limit.
	MemoryExceeded
	// CPUExceeded: the CPU budget, in total or of the window, is used up.
	CPUExceeded
	// OutputExceeded: more posts, logs or result bytes than the limit.
	OutputExceeded
	// ChildWorkExceeded: more threads or processes than the limit.
	ChildWorkExceeded
	// NetworkExceeded: more bytes or connections than the limit.
	NetworkExceeded
	// GuestError: the guest raised an exception of its own.
	GuestError
	// CellGone: the cell was killed, closed or crashed; the message says why.
	CellGone
	// Busy: a queue is full; try again later.
	Busy
	// UnknownOutcome: a remote call timed out and may have run.
	UnknownOutcome
	// Invalid: the request itself is malformed (too large, bad name, bad JSON).
	Invalid
	// Cancelled: the caller withdrew; the guest was interrupted.
	Cancelled
	// NotCheckpointable: the guest holds what no checkpoint can carry; the message names
	// the place, and the cell goes on.
	NotCheckpointable

	lastKind = NotCheckpointable
)

var kindNames = [...]string{"Unknown", "PolicyDenied", "PolicyAuth", "Timeout", "MemoryExceeded",
	"CPUExceeded", "OutputExceeded", "ChildWorkExceeded", "NetworkExceeded", "GuestError",
	"CellGone", "Busy", "UnknownOutcome", "Invalid", "Cancelled", "NotCheckpointable"}

// Kinds lists the vocabulary, without [KindUnknown].
func Kinds() []Kind {
	out := make([]Kind, 0, len(kindNames)-1)
	for k := PolicyDenied; int(k) < len(kindNames); k++ {
		out = append(out, k)
	}
	return out
}

// Known reports a word of the vocabulary.
func (k Kind) Known() bool { return k != KindUnknown && k <= lastKind }

// String returns the kind's name as it is written everywhere.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Error makes a Kind usable as a target of [errors.Is].
func (k Kind) Error() string { return k.String() }

// Error is every failure a cell reports. Match the kind with
// errors.Is(err, cell.CPUExceeded).
type Error struct {
	Kind Kind
	// Message says what was tried on what, and what to do.
	Message string
	// Type is the Python exception's class name, when a guest raised it.
	Type string
	// Traceback is the guest's formatted traceback, "" when there is none.
	Traceback string
	// Denial is set when Kind is PolicyDenied.
	Denial *Denial
}

// Errorf makes an error of the vocabulary.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.Kind == GuestError && e.Type != "" {
		return fmt.Sprintf("GuestError: %s: %s", e.Type, e.Message)
	}
	return e.Kind.String() + ": " + e.Message
}

// Is matches another *Error of the same kind, or the [Kind] itself.
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Kind:
		return e.Kind == t
	case *Error:
		return e.Kind == t.Kind
	}
	return false
}

// KindOf returns the vocabulary's word for err, or KindUnknown.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var k Kind
	if errors.As(err, &k) {
		return k
	}
	return KindUnknown
}

// Denial is the evidence of one refused action.
type Denial struct {
	Cell       string    `json:"cell"`
	Capability string    `json:"capability"`
	Action     string    `json:"action"`
	Rule       string    `json:"rule,omitempty"`
	Kernel     string    `json:"kernel,omitempty"`
	Broker     string    `json:"broker,omitempty"`
	At         time.Time `json:"at"`
}

package capability

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what became of a request.
type Kind uint8

// The kinds. Their numbers do not change; kinds may be added.
const (
	// OK is the outcome of a request that was answered; no error has it.
	OK Kind = iota
	// Denied: no grant allows it, or none does any more.
	Denied
	// Invalid: the request is malformed.
	Invalid
	// TooLarge: payload or answer exceeds a size.
	TooLarge
	// NotFound: what was named does not exist.
	NotFound
	// Conflict: what was named is in another state than the request needs.
	Conflict
	// Failed: the effect was tried and did not succeed.
	Failed
	// Quota: an amount granted for the whole life of something is used up.
	Quota
	// Timeout: the deadline passed. The effect may have happened.
	Timeout
	// Cancelled: the caller withdrew. The effect may have happened.
	Cancelled
	// Busy: too often or too many at once; try again later.
	Busy
	// Unavailable: this node cannot do it at all.
	Unavailable
	// Gone: the session is closed.
	Gone
	// Internal: a fault of the node's. The record has details, the guest has not.
	Internal
)

var kinds = [...]struct{ name, word string }{
	OK:          {"OK", ""},
	Denied:      {"Denied", "PolicyDenied"},
	Invalid:     {"Invalid", "Invalid"},
	TooLarge:    {"TooLarge", "Invalid"},
	NotFound:    {"NotFound", "GuestError"},
	Conflict:    {"Conflict", "GuestError"},
	Failed:      {"Failed", "GuestError"},
	Quota:       {"Quota", "GuestError"},
	Timeout:     {"Timeout", "Timeout"},
	Cancelled:   {"Cancelled", "Cancelled"},
	Busy:        {"Busy", "Busy"},
	Unavailable: {"Unavailable", "GuestError"},
	Gone:        {"Gone", "CellGone"},
	Internal:    {"Internal", "GuestError"},
}

// Kinds lists all kinds but OK.
func Kinds() []Kind {
	out := make([]Kind, 0, len(kinds)-1)
	for k := range kinds[1:] {
		out = append(out, Kind(k+1))
	}
	return out
}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k].name
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Word is the kind's word in the vocabulary of package cell, which has fewer:
// failures of an effect that was allowed are all "GuestError", and then String
// is what tells them apart.
func (k Kind) Word() string {
	if int(k) < len(kinds) {
		return kinds[k].word
	}
	return kinds[Internal].word
}

// Error makes a Kind usable as a target of [errors.Is].
func (k Kind) Error() string { return k.String() }

// Error is every failure of a request.
type Error struct {
	Kind Kind
	// Message is for the guest: no paths, addresses or values that it did not
	// send itself or is not granted.
	Message string
	// Rule is what decided, when Kind is Denied.
	Rule string
	// Denial is the evidence, when Kind is Denied; the session sets it.
	Denial *Denial
	// Cause is for the record and never for the guest; may be nil.
	Cause error
}

// Errorf makes an error. A %w in format is kept as the cause, and is part of the
// message as with [fmt.Errorf].
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// Denyf makes a refusal by rule.
func Denyf(rule, format string, args ...any) *Error {
	return &Error{Kind: Denied, Rule: rule, Message: fmt.Sprintf(format, args...)}
}

// WithCause sets what the guest must not see but the record or an embedding program
// may.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}

func (e *Error) Error() string { return e.Kind.String() + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is matches the error's [Kind].
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && e.Kind == k
}

// KindOf returns the kind of err: OK for nil, Internal for what is not of this
// vocabulary.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Cancelled
	}
	return Internal
}

package group

import (
	"errors"
	"time"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
)

// answer of a leader.
type answer struct {
	Outcome *outcome `json:"outcome,omitempty"`
	// TTL of a lease that was renewed.
	TTL time.Duration `json:"ttl,omitempty"`
	// Index that whoever asked must have applied to know what the leader knows.
	Index uint64 `json:"index,omitempty"`
	// Term of Raft in which whoever answers is.
	Term uint64 `json:"term,omitempty"`
	Kind string `json:"error,omitempty"`
	Text string `json:"message,omitempty"`
}

// kinds are the errors that keep their identity on the way. Of several that an error is, it keeps the first: what
// was not judged at all, or not to its end, comes before what was refused.
var kinds = []struct {
	word string
	is   error
}{
	{"no-leader", ErrNoLeader}, {"uncertain", ErrUncertain},
	{"no-cell", directory.ErrNoCell}, {"taken", directory.ErrTaken}, {"stale", directory.ErrStale}, {"no-session", directory.ErrNoSession},
	{"last-copy", directory.ErrLastCopy}, {"limited", directory.ErrLimited}, {"invalid", directory.ErrInvalid},
	{"no-member", roster.ErrNoMember}, {"name-taken", roster.ErrTaken}, {"founded", roster.ErrFounded}, {"no-invite", roster.ErrNoInvite},
	{"no-key", roster.ErrNoKey}, {"roster-full", roster.ErrLimited}, {"last-node", roster.ErrLast}, {"invalid-roster", roster.ErrInvalid},
	{"token", pki.ErrToken}, {"lapsed", pki.ErrLapsed}, {"used", pki.ErrUsed},
}

// sent is an error that came from another node.
type sent struct {
	kind error
	text string
}

func (e *sent) Error() string { return e.text }
func (e *sent) Unwrap() error { return e.kind }

func (a *answer) fail(err error) {
	a.Kind, a.Text = "failed", err.Error()
	for _, kind := range kinds {
		if errors.Is(err, kind.is) {
			a.Kind = kind.word
			return
		}
	}
}

func (a *answer) err() error {
	if a.Kind == "" {
		return nil
	}
	for _, kind := range kinds {
		if a.Kind == kind.word {
			return &sent{kind.is, a.Text}
		}
	}
	return errors.New(a.Text)
}

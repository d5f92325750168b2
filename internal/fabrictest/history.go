package fabrictest

import (
	"errors"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
)

// Outcome is what a client knows of a call that has returned.
type Outcome int

const (
	// Done: it was done, as the answer says.
	Done Outcome = iota
	// Refused: it was surely not done.
	Refused
	// Conflicted: it was not done, for another version was there than the one expected.
	Conflicted
	// Unknown: it was done, or not, or will be.
	Unknown
)

// outcomeOf judges an error of a call that changes something. What is not surely refused is
// unknown.
func outcomeOf(err error) Outcome {
	var answered *fault.Error
	switch {
	case err == nil:
		return Done
	case !errors.As(err, &answered):
		return Unknown
	}
	switch answered.Kind {
	case "Conflict":
		return Conflicted
	case "NotFound", "Invalid", "Busy", "NotLeader", "Limited", "Refused", "PolicyDenied", cell.GuestError.String():
		return Refused
	}
	return Unknown
}

// Span is when a call was under way, by the client's clock, since the history began.
type Span struct{ Called, Returned time.Duration }

// PolicyCall is a put of a policy or a linearizable read.
type PolicyCall struct {
	Span
	Client  int
	Policy  string
	Write   bool
	Expect  *uint64 // nil: whatever it is
	Text    string  // that was put, or read
	Number  uint64  // in the answer; 0 of a read: there was none
	Outcome Outcome
}

// Count is a call of a cell's function that counts and tells the count.
type Count struct {
	Span
	Client  int
	Cell    string
	Epoch   uint64 // of the incarnation that answered, if Done
	Number  uint64
	Outcome Outcome
}

// Spawn is a spawn that was done.
type Spawn struct {
	Span
	Cell, Node string
	Epoch      uint64
}

// Life is that an incarnation of a cell ran at a time of the machine's clock: a guest said so.
type Life struct {
	Cell  string
	Epoch uint64
	Boot  int64 // made by the guest when it began; two in one epoch are two guests
	At    int64 // CLOCK_MONOTONIC, in nanoseconds
}

// History is what clients saw. The zero value is empty, and begins when it is first used; its
// methods may be called from any goroutine.
type History struct {
	mu       sync.Mutex
	began    time.Time
	policies []PolicyCall
	counts   []Count
	spawns   []Spawn
	lives    []Life
	failures map[string]int // of calls, by the kind of error
}

// now is the time since the history began.
func (h *History) now() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began.IsZero() {
		h.began = time.Now()
	}
	return time.Since(h.began)
}

func note[T any](h *History, to *[]T, what T, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*to = append(*to, what)
	h.failed(err)
}

// failed counts an error; it needs mu.
func (h *History) failed(err error) {
	if err == nil {
		return
	}
	if h.failures == nil {
		h.failures = map[string]int{}
	}
	kind := "other"
	var answered *fault.Error
	if errors.As(err, &answered) {
		kind = answered.Kind
	}
	h.failures[kind]++
}

// Size is how many calls of each kind there are.
type Size struct {
	Policies, Counts, Spawns, Lives int
	// Unknown is how many of the calls have no known outcome.
	Unknown int
	// Failures of calls by the kind of error.
	Failures map[string]int
}

// Size of the history.
func (h *History) Size() Size {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Size{Policies: len(h.policies), Counts: len(h.counts), Spawns: len(h.spawns), Lives: len(h.lives), Failures: h.failures}
	for _, c := range h.policies {
		if c.Outcome == Unknown {
			s.Unknown++
		}
	}
	for _, c := range h.counts {
		if c.Outcome == Unknown {
			s.Unknown++
		}
	}
	return s
}

package capability

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"
)

// DefaultConcurrentCalls is how many calls one broker runs at once.
const DefaultConcurrentCalls = 1024

// Config of a [Broker]. The zero value is usable.
type Config struct {
	// Recorder of the evidence; nil keeps none.
	Recorder Recorder
	// ConcurrentCalls over all cells; more are answered Busy. 0 is 1024. A tenant may have
	// as many of them as it leaves free, and each of its cells as many as it leaves the tenant.
	// A call that does not return when it should counts until it does.
	ConcurrentCalls int
	// Fence says why nothing may be done for a guest now, or nil. It is asked before each call that
	// a grant allows, and must not block; its words are the guest's to read. Nil: nothing is in the way.
	Fence func() error
	// Now is the clock of records and rates; nil is [time.Now].
	Now func() time.Time
}

// Broker holds the capabilities and opens sessions. Methods may be called from any
// goroutine.
type Broker struct {
	recorder Recorder
	fence    func() error
	now      func() time.Time
	places   *places // one is held by each call

	mu       sync.Mutex
	known    map[string]Capability
	sessions map[*Session]struct{}
	closed   bool
}

// New returns a broker without any capability.
func New(c Config) *Broker {
	b := &Broker{recorder: c.Recorder, fence: c.Fence, now: c.Now, known: map[string]Capability{}, sessions: map[*Session]struct{}{}}
	if b.recorder == nil {
		b.recorder = nobody{}
	}
	if b.now == nil {
		b.now = time.Now
	}
	if c.ConcurrentCalls <= 0 {
		c.ConcurrentCalls = DefaultConcurrentCalls
	}
	b.places = newPlaces(c.ConcurrentCalls)
	return b
}

// Register makes c available under name to sessions opened or updated from now on.
// If c is an [io.Closer], the broker closes it at its own end.
func (b *Broker) Register(name string, c Capability) error {
	if err := ValidName("capability", name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed()
	}
	if b.known[name] != nil {
		return Errorf(Conflict, "capability %s is registered already: choose another name", name)
	}
	b.known[name] = c
	return nil
}

func errClosed() error { return Errorf(Gone, "the broker is closed") }

// Open makes the session of one cell. Who holds the pointer speaks for the cell;
// it must be closed when the cell ends.
func (b *Broker) Open(id Identity, p Policy) (*Session, error) {
	if id.Tenant == "" || id.Cell == "" {
		return nil, Errorf(Invalid, "a session needs a tenant and a cell")
	}
	s := &Session{broker: b, id: id}
	if err := s.Update(p); err != nil {
		return nil, err
	}
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.sessions[s] = struct{}{}
	}
	b.mu.Unlock()
	if closed {
		s.Close()
		return nil, errClosed()
	}
	return s, nil
}

// capabilities returns those that are registered now.
func (b *Broker) capabilities() map[string]Capability {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.known)
}

// Close ends all sessions, cancels what is under way, waits for it until ctx ends,
// and then closes the capabilities. If ctx ends first they stay open, for they are
// in use; Close can be called again.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	sessions := b.sessions
	b.sessions = map[*Session]struct{}{}
	b.mu.Unlock()
	for s := range sessions {
		s.Close()
	}
	if err := b.idle(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	known := b.known
	b.known = map[string]Capability{}
	b.mu.Unlock()
	var errs []error
	for name, c := range known {
		if closer, ok := c.(io.Closer); ok {
			if err := closer.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close capability %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// idle waits for all calls. Where there are none it needs no time.
func (b *Broker) idle(ctx context.Context) error {
	none := b.places.none()
	select {
	case <-none:
		return nil
	default:
	}
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close broker: calls are still running: %w", context.Cause(ctx))
	}
}

func (b *Broker) forget(s *Session) {
	b.mu.Lock()
	delete(b.sessions, s)
	b.mu.Unlock()
}

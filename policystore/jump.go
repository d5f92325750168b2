package policystore

import (
	"fmt"
	"sync"
	"time"
)

const (
	// maxJump is how far the clock may go ahead at once. Time in the state never goes back, so
	// that one change by a clock that is years ahead would end all tokens that expire.
	maxJump = time.Hour
	// jumpBelieved is after which time a clock that went further ahead, and stayed there, is
	// taken to be right: it was wrong before, or the machine was paused.
	jumpBelieved = 10 * time.Minute
)

// jumps watches the clock for jumps ahead, by what has passed since the machine started.
type jumps struct {
	passed func() time.Duration

	mu      sync.Mutex
	trusted moment
	suspect moment // where the clock jumped to, zero for nowhere
}

// moment is what the clock said when so much time had passed.
type moment struct {
	clock  time.Time
	passed time.Duration
}

// ahead is how far a later moment's clock is from where this one's should be by then.
func (m moment) ahead(later moment) time.Duration {
	return later.clock.Sub(m.clock) - (later.passed - m.passed)
}

func newJumps(now time.Time, passed func() time.Duration) *jumps {
	return &jumps{passed: passed, trusted: moment{now, passed()}}
}

// check refuses a time that the clock jumped to.
func (j *jumps) check(now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := moment{now, j.passed()}
	jump := j.trusted.ahead(at)
	if jump <= maxJump {
		j.trusted, j.suspect = at, moment{}
		return nil
	}
	if off := j.suspect.ahead(at); j.suspect == (moment{}) || off.Abs() > maxJump {
		j.suspect = at
	}
	if at.passed-j.suspect.passed >= jumpBelieved {
		j.trusted, j.suspect = at, moment{}
		return nil
	}
	return fmt.Errorf("%w: the clock went ahead by %v, to %s; set it right, or change nothing for %v if it is right now",
		ErrClock, jump.Round(time.Second), now.UTC().Format(time.RFC3339), jumpBelieved)
}

// now is the time by which tokens expire: the clock's, but not before the last change's.
func (t *transaction) now(clock time.Time) time.Time {
	if t.head.time.After(clock) {
		return t.head.time
	}
	return clock
}

// warnOfClock tells an operator why tokens expire early.
func (s *Store) warnOfClock() error {
	return s.state.view(func(t *transaction) error {
		if clock := s.config.Now(); t.head.time.Sub(clock) > maxJump {
			s.config.Logger.Warn("the clock is behind the last change: tokens expire by the change's time until the clock has passed it",
				"clock", clock, "last change", t.head.time)
		}
		return nil
	})
}

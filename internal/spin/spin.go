// Package spin looks for something for a moment before its caller sleeps: to wake
// a sleeping thread on another processor costs tens of microseconds, more than
// most answers take.
package spin

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Spinner decides whether looking is cheaper than sleeping. On one processor it
// never is. Where answers take long, it tries only now and then. The zero Spinner
// is ready; it may be used from several goroutines.
type Spinner struct {
	misses atomic.Uint32
	turn   atomic.Uint32
}

var multiprocessor = runtime.GOMAXPROCS(0) > 1

// giveUp is how many spins in vain make spinning rare; retry is how rare.
const (
	giveUp = 8
	retry  = 32
)

// Worthwhile reports whether to call Until at all.
func (s *Spinner) Worthwhile() bool {
	if !multiprocessor {
		return false
	}
	return s.misses.Load() < giveUp || s.turn.Add(1)%retry == 0
}

// othersRan is how long giving the processor up takes when another thread has it meanwhile. When
// what is waited for is not there even then, so many threads have something to do that each
// further look is one more switch between them, and to sleep is cheaper.
const othersRan = 5 * time.Microsecond

// Looks at memory between two looks at the clock.
const Looks = 16

// Until calls ready for about the given time, at least once, without giving the
// processor up: for looks at memory.
func (s *Spinner) Until(patience time.Duration, ready func() (bool, error)) (bool, error) {
	return s.until(patience, Looks, 0, nil, ready)
}

// Crowd is how often others may take the processor of one who looks before it ends.
type Crowd int

const (
	// Sole is for who waits for the only thing that goes on: the others are those who bring it, and who look for the
	// same on their way.
	Sole Crowd = 3
	// Many is for one of several who wait: the others have something else to do.
	Many Crowd = 1
)

// UntilYielding is Until for a caller who waits for a thread that may need this
// processor: after each round of looks others may run. When they did as often as the crowd says, and it was in vain, it
// ends before its time.
func (s *Spinner) UntilYielding(patience time.Duration, looks int, others Crowd, ready func() (bool, error)) (bool, error) {
	return s.until(patience, looks, others, Yield, ready)
}

// Yield lets other threads have the processor, if they want it.
func Yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// until has others run between two rounds of looks, unless between is nil: then a round that took long
// says nothing, as the thread itself was held up.
func (s *Spinner) until(patience time.Duration, looks int, others Crowd, between func(), ready func() (bool, error)) (bool, error) {
	ok, err := ready()
	if ok || err != nil {
		return ok, err
	}
	start := time.Now()
	for now, ran := start, Crowd(0); now.Sub(start) < patience; {
		for range looks {
			if ok, err = ready(); ok || err != nil {
				s.misses.Store(0)
				return ok, err
			}
		}
		if between == nil {
			now = time.Now()
			continue
		}
		if ran == others {
			break
		}
		before := now
		between()
		if now = time.Now(); now.Sub(before) > othersRan {
			ran++
		}
	}
	s.misses.Add(1)
	return false, nil
}

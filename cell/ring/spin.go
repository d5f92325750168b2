package ring

import (
	"runtime"
	"sync/atomic"
	"time"
)

// servePatience is how long a consumer looks for the next frame before it sleeps.
const servePatience = 2 * time.Microsecond

// spinner decides whether looking is cheaper than sleeping. On one processor it
// never is. Where the answers take long, it tries only now and then.
type spinner struct {
	misses atomic.Uint32
	turn   atomic.Uint32
}

var multiprocessor = runtime.GOMAXPROCS(0) > 1

// giveUp is how many spins in vain make spinning rare; retry is how rare.
const (
	giveUp = 8
	retry  = 32
)

func (s *spinner) worthwhile() bool {
	if !multiprocessor {
		return false
	}
	return s.misses.Load() < giveUp || s.turn.Add(1)%retry == 0
}

// until calls ready for about the given time. It calls it at least once.
func (s *spinner) until(patience time.Duration, ready func() (bool, error)) (bool, error) {
	ok, err := ready()
	if ok || err != nil {
		return ok, err
	}
	for start := time.Now(); time.Since(start) < patience; {
		for range 16 {
			if ok, err = ready(); ok || err != nil {
				s.misses.Store(0)
				return ok, err
			}
		}
	}
	s.misses.Add(1)
	return false, nil
}

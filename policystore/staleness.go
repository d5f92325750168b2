package policystore

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/internal/boottime"
)

// unknownStaleness is of a node that has not heard of the others since it was opened: what it has
// may be of any age.
const unknownStaleness = time.Duration(math.MaxInt64)

// freshness is when a node last had all that was agreed.
type freshness struct {
	mu    sync.Mutex
	known bool
	at    time.Duration // by boottime
}

// note says that the state was as new as a moment.
func (f *freshness) note(at time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known || at > f.at {
		f.known, f.at = true, at
	}
}

// since reports whether the state is as new as a moment.
func (f *freshness) since(at time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known && f.at >= at
}

func (f *freshness) age() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		return unknownStaleness
	}
	return boottime.Now() - f.at
}

// Staleness is for how long something may have been agreed that this node does not know: the time
// since it last asked the leader how far the log goes, and had applied all of it. A node in touch
// asks every second or so; it is 0 for a node by itself, and the longest time there is for one that has
// not heard of a leader since it was opened. Its clock counts while the machine sleeps, and nobody
// sets it.
func (s *Store) Staleness() time.Duration {
	if s.config.Cluster == nil {
		return 0
	}
	return s.fresh.age()
}

// Fresh is nil while Staleness is within [Cluster.MaxStaleness], and else says why nothing new
// should be begun under this node's policies: ErrStale, or ErrFailed when it applies no more.
func (s *Store) Fresh() error {
	if err := s.state.failure(); err != nil {
		return err
	}
	if s.config.Cluster == nil {
		return nil
	}
	age, most := s.fresh.age(), s.config.Cluster.MaxStaleness
	switch {
	case age == unknownStaleness:
		return fmt.Errorf("%w: node %s has not heard of a leader of the policies since it was started", ErrStale, s.config.NodeID)
	case age > most:
		return fmt.Errorf("%w: node %s last knew them to be the newest %v ago, and the bound is %v: look whether it reaches the others",
			ErrStale, s.config.NodeID, age.Round(time.Millisecond), most)
	}
	return nil
}

// freshEvery is how often a node makes sure that it is fresh, unless its bound asks for more.
const freshEvery = time.Second

// keepFresh asks the leader again and again until the store closes.
func (s *Store) keepFresh() {
	defer s.calls.Done()
	every := min(freshEvery, s.config.Cluster.MaxStaleness/4)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for s.life.Err() == nil {
		if s.fresh.age() > every/2 {
			s.askFresh(every)
		}
		select {
		case <-tick.C:
		case <-s.life.Done():
		}
	}
}

func (s *Store) askFresh(within time.Duration) {
	ctx, cancel := context.WithTimeout(s.life, within)
	defer cancel()
	_ = s.fence(ctx) // without success the age grows, which is what there is to say
}

// renew makes the state as new as the call, for those who look for what they cannot find. However
// many do, one asks the leader at a time, and its answer is for all who had come before.
func (s *Store) renew(ctx context.Context) error {
	came := boottime.Now()
	select {
	case s.renewing <- struct{}{}:
		defer func() { <-s.renewing }()
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return ErrClosed
	}
	if s.fresh.since(came) {
		return nil
	}
	return s.fence(ctx)
}

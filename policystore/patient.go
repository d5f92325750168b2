package policystore

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// retryEvery is how often a write is tried again that may not fail.
const retryEvery = 100 * time.Millisecond

// patientStable is the stable store as Raft gets it. Raft panics, in a goroutine of its own,
// when it cannot store its term; so, while the disk is full or broken, storing a number
// waits for better times. Raft does nothing meanwhile, and calls are told why.
type patientStable struct {
	raft.StableStore
	// failing is told of each new error, and of nil when it is over.
	failing func(error)
	closing <-chan struct{}
	dropped atomic.Bool // a number was not stored
}

// SetUint64 stores a number. When the store closes meanwhile it returns nil without having
// stored it, since Raft would panic. Nothing may be promised by what is not stored: Raft gives
// a vote, its own too, only when Set has stored for whom, and Set fails from then on.
func (p *patientStable) SetUint64(key []byte, value uint64) error {
	err := p.StableStore.SetUint64(key, value)
	if err == nil {
		return nil
	}
	p.failing(fmt.Errorf("%w: %w; this is tried again until it succeeds", ErrFailed, err))
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for err != nil {
		select {
		case <-retry.C:
			err = p.StableStore.SetUint64(key, value)
		case <-p.closing:
			p.dropped.Store(true)
			return nil
		}
	}
	p.failing(nil)
	return nil
}

// Set stores for whom the node votes, unless it does not remember in which term.
func (p *patientStable) Set(key, value []byte) error {
	if p.dropped.Load() {
		return fmt.Errorf("%w: what came before %s was not stored", ErrClosed, key)
	}
	return p.StableStore.Set(key, value)
}

package policystore

import (
	"fmt"
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
}

// SetUint64 stores a number. When the store closes meanwhile it returns nil without having
// stored it, as Raft ends before it could act on it: it counts its own vote only when that is
// stored, by Set.
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
			return nil
		}
	}
	p.failing(nil)
	return nil
}

package raftlog

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// retryEvery is how often a write is tried again that may not fail.
const retryEvery = 100 * time.Millisecond

// Patient is a stable store as Raft gets it. Raft panics, in a goroutine of its own or of its
// transport's, when it cannot store its term; so, while the disk is full or broken, storing a number
// waits for better times. Raft does nothing meanwhile.
type Patient struct {
	raft.StableStore
	failing func(error)
	closing <-chan struct{}
	dropped atomic.Bool // a number was not stored
}

// NewPatient is patient until closing is closed. failing is told of each new error, and of nil when it is over.
func NewPatient(s raft.StableStore, failing func(error), closing <-chan struct{}) *Patient {
	return &Patient{StableStore: s, failing: failing, closing: closing}
}

// SetUint64 stores a number. When closing is closed it returns nil without having
// stored it, since Raft would panic. Nothing may be promised by what is not stored: Raft gives
// a vote, its own too, only when Set has stored for whom, and Set fails from then on.
func (p *Patient) SetUint64(key []byte, value uint64) error {
	err := p.StableStore.SetUint64(key, value)
	if err == nil {
		return nil
	}
	p.failing(fmt.Errorf("%w; this is tried again until it succeeds", err))
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
func (p *Patient) Set(key, value []byte) error {
	if p.dropped.Load() {
		return fmt.Errorf("raftlog: what came before %s was not stored: the log was being closed", key)
	}
	return p.StableStore.Set(key, value)
}

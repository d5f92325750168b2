package policystore

import (
	"errors"

	"github.com/hashicorp/raft"
)

// compact takes a snapshot, behind which Raft drops the log, whenever the log has become
// large; until the store closes.
func (s *Store) compact() {
	defer s.calls.Done()
	for {
		select {
		case <-s.closing:
			return
		case <-s.state.large:
			err := s.raft.Snapshot().Error()
			if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, raft.ErrRaftShutdown) {
				s.config.Logger.Warn("the log is large, and there is no snapshot behind which to drop it", "error", err)
			}
		}
	}
}

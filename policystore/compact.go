package policystore

import (
	"cmp"
	"errors"

	"github.com/hashicorp/raft"
)

// compact takes a snapshot, behind which Raft drops the log, whenever the log has become
// large; until the store closes.
func (s *Store) compact() {
	defer s.calls.Done()
	for {
		select {
		case <-s.life.Done():
			return
		case <-s.state.large:
			err := s.dropLog()
			if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) && !errors.Is(err, raft.ErrRaftShutdown) {
				s.config.Logger.Warn("the log is large, and there is no snapshot behind which to drop it", "error", err)
			}
		}
	}
}

// dropLog takes a snapshot behind which few entries stay: those that make a log large could
// be many for nodes that lag.
func (s *Store) dropLog() error {
	usual := s.raft.ReloadableConfig()
	few := usual
	few.TrailingLogs = min(usual.TrailingLogs, fewTrailing)
	if err := s.raft.ReloadConfig(few); err != nil {
		return err
	}
	return cmp.Or(s.raft.Snapshot().Error(), s.raft.ReloadConfig(usual))
}

package policystore

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

// Position is how far a store has got: of two, the one of the higher term has what was agreed later, and of
// the same term the one of the higher index.
type Position struct{ Term, Index uint64 }

// Reduce makes the store in dir, of a node of a group that has lost its majority for ever, the group of this
// node alone. What it has on its disk is agreed from then on, also what no majority had; what only others had
// is lost. It is for a store that is not open, and does nothing the second time. With check set it changes
// nothing. A store of a group without the node as a voter is ErrInvalid.
func Reduce(dir, node string, check bool) (at Position, err error) {
	c, err := Config{Dir: dir, NodeID: node}.withDefaults()
	if err == nil {
		at, err = (&Store{config: c}).reduce(check)
	}
	if err != nil {
		err = fmt.Errorf("reduce the group of policy store %s: %w", dir, err)
	}
	return at, err
}

func (s *Store) reduce(check bool) (at Position, err error) {
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	if err := s.openFiles(standardLimits); err != nil {
		return at, err
	}
	snaps, err := raftlog.OpenSnapshots(filepath.Join(s.config.Dir, snapDir), snapshotsKept)
	if err != nil {
		return at, corrupt(err)
	}
	if _, err := s.compare(snaps); err != nil {
		return at, err
	}
	if at.Index, at.Term, err = raftlog.Last(s.log, snaps); err != nil {
		return at, err
	}
	servers, err := raftlog.Servers(s.log, snaps)
	if err != nil {
		return at, err
	}
	self := raft.Server{ID: raft.ServerID(s.config.NodeID), Address: raft.ServerAddress(s.config.NodeID)}
	voter := func(one raft.Server) bool { return one.ID == self.ID && one.Suffrage == raft.Voter }
	switch {
	case !slices.ContainsFunc(servers, voter):
		return at, fmt.Errorf("%w: node %s is no voter of the group %v", ErrInvalid, self.ID, servers)
	case check, len(servers) == 1:
		return at, nil
	}
	return at, raftlog.Give(s.log, snaps, []raft.Server{self})
}

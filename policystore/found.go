package policystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

// Exists reports whether dir holds a store, or what is left of one. A node that joins others must
// not have one of its own: the others' entries could not follow on its.
func Exists(dir string) (bool, error) {
	for _, name := range []string{logFile, stateFile, snapDir} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// Found makes the store in dir, or a new one, that of the first voter of a group that others
// will join. What a node by itself wrote stays. It is for a store that is not open, and does nothing
// the second time. A store of a group of several is ErrInvalid: it could belong to nodes that
// live.
func Found(dir, node string) error {
	c, err := Config{Dir: dir, NodeID: node}.withDefaults()
	if err == nil {
		err = (&Store{config: c}).found()
	}
	if err != nil {
		return fmt.Errorf("found a group with policy store %s: %w", dir, err)
	}
	return nil
}

func (s *Store) found() (err error) {
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	if err := s.openFiles(standardLimits); err != nil {
		return err
	}
	snaps, err := raftlog.OpenSnapshots(filepath.Join(s.config.Dir, snapDir), snapshotsKept)
	if err != nil {
		return corrupt(err)
	}
	if _, err := s.compare(snaps); err != nil {
		return err
	}
	transport, voters := s.group()
	if err := s.bootstrap(s.raftConfig(), snaps, transport, voters); err != nil {
		return err
	}
	servers, err := raftlog.Servers(s.log, snaps)
	switch {
	case err != nil:
		return err
	case len(servers) != 1:
		return fmt.Errorf("%w: it belongs to the group %v", ErrInvalid, servers)
	case servers[0].ID == voters[0].ID:
		return nil
	}
	return raftlog.Give(s.log, snaps, voters) // what its only voter has on the disk is agreed
}

// checkServers refuses a node by itself whose directory is another's, or one of a group: it would
// wait for a leader for ever; and a node of a group with the policies of one by itself, on which the
// group's could not follow.
func (s *Store) checkServers(snaps raft.SnapshotStore) error {
	servers, err := raftlog.Servers(s.log, snaps)
	if err != nil {
		return err
	}
	self := raft.ServerID(s.config.NodeID)
	single := len(servers) == 1
	switch alone := single && servers[0].ID == self; {
	case s.config.Cluster == nil && !alone:
		return fmt.Errorf("%w: the directory belongs to the group %v; this node is %s, by itself: if this node has left the cluster, move the directory away; if the cluster is no more, found another one with `init`, by the same name if it had one node", ErrInvalid, servers, self)
	case s.config.Cluster != nil && single && servers[0].ID == defaultNodeID && self != defaultNodeID:
		return fmt.Errorf("%w: the directory has the policies of a node by itself. If `init` did not end here, delete the cluster's directory beside it, which no other node knows, and run `init` again; if node %s has joined a cluster, move the directory away", ErrInvalid, self)
	}
	return nil
}

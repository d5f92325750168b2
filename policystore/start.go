package policystore

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/commitnews"
	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

// start compares the files with each other and starts Raft.
func (s *Store) start() error {
	logger := raftLogger(s.config.Logger, s.config.Cluster == nil)
	snaps, err := raftlog.OpenSnapshots(filepath.Join(s.config.Dir, snapDir), snapshotsKept)
	if err != nil {
		return corrupt(err)
	}
	newest, err := s.compare(snaps)
	if err == nil {
		err = raftlog.DropCovered(s.log, snaps)
	}
	if err != nil {
		return err
	}
	c := s.raftConfig()
	c.Logger = logger
	// A state that is behind the newest snapshot was lost, or the node died while it
	// was being exchanged.
	applied, err := (&fsm{s.state}).appliedIndex()
	if err != nil {
		return err
	}
	c.NoSnapshotRestoreOnStart = applied >= newest
	transport, voters := s.group()
	if err := s.bootstrap(c, snaps, transport, voters); err != nil {
		return err
	}
	if err := s.checkServers(snaps); err != nil {
		return err
	}
	stable := raftlog.NewPatient(s.log, s.diskFailing, s.life.Done())
	if s.raft, err = raft.NewRaft(c, &fsm{s.state}, s.log, stable, snaps, transport); err != nil {
		return corrupt(err)
	}
	if s.config.Cluster != nil {
		s.news = commitnews.New(s.raft, s.log, transport, c.LocalID)
		return nil
	}
	if err := s.campaign(); err != nil {
		return errors.Join(err, s.raft.Shutdown().Error())
	}
	return nil
}

func (s *Store) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(s.config.NodeID)
	c.SnapshotThreshold = s.config.SnapshotEvery
	c.TrailingLogs = s.config.SnapshotEvery / 2
	c.SnapshotInterval = s.config.SnapshotInterval
	c.NoLegacyTelemetry = true
	if s.config.Cluster == nil {
		c.TrailingLogs = min(c.TrailingLogs, fewTrailing)
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = aloneTimeout, aloneTimeout, aloneTimeout/2
		return c
	}
	timeout := s.config.Cluster.Timeout
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = timeout, timeout, timeout
	c.CommitTimeout = commitTimeout
	c.ShutdownOnRemove = false // it may be added again
	return c
}

// campaign has a node by itself elect itself at once, since nobody else could lead: Raft looks
// for a leader when its timeout becomes shorter.
func (s *Store) campaign() error {
	c := s.raft.ReloadableConfig()
	c.HeartbeatTimeout -= time.Millisecond
	return s.raft.ReloadConfig(c)
}

// group is the transport and the voters of a new group.
func (s *Store) group() (raft.Transport, []raft.Server) {
	if cluster := s.config.Cluster; cluster != nil {
		return cluster.Transport, cluster.Bootstrap
	}
	address, transport := raft.NewInmemTransport(raft.ServerAddress(s.config.NodeID))
	return transport, []raft.Server{{ID: raft.ServerID(s.config.NodeID), Address: address}}
}

// bootstrap makes a new node's first log entry. Raft writes the term before that
// entry, so a node that died between the two has a term only.
func (s *Store) bootstrap(c *raft.Config, snaps raft.SnapshotStore, transport raft.Transport, voters []raft.Server) error {
	used, err := raft.HasExistingState(s.log, s.log, snaps)
	if err != nil || len(voters) == 0 {
		return err
	}
	if used {
		return s.finishBootstrap(snaps, voters)
	}
	return raft.BootstrapCluster(c, s.log, s.log, snaps, transport, raft.Configuration{Servers: voters})
}

// finishBootstrap writes the first entry if nothing but the term was written.
func (s *Store) finishBootstrap(snaps raft.SnapshotStore, voters []raft.Server) error {
	last, err := s.log.LastIndex()
	if err != nil || last > 0 {
		return err
	}
	if list, err := snaps.List(); err != nil || len(list) > 0 {
		return err
	}
	return s.log.StoreLog(&raft.Log{
		Index: 1, Term: 1, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(raft.Configuration{Servers: voters}),
	})
}

// compare holds the log, the state and the snapshots against each other and returns the
// newest snapshot's index. Each of them is sound by itself; together they show when one
// was lost, or is an older copy.
func (s *Store) compare(snaps raft.SnapshotStore) (newest uint64, err error) {
	dir := s.config.Dir
	list, err := snaps.List()
	if err != nil {
		return 0, err
	}
	if len(list) > 0 {
		newest = list[0].Index
	}
	applied, err := (&fsm{s.state}).appliedIndex()
	if err != nil {
		return 0, err
	}
	first, _ := s.log.FirstIndex() // it never fails
	last, _ := s.log.LastIndex()
	switch {
	case applied > max(last, newest):
		return 0, &CorruptError{filepath.Join(dir, logFile), fmt.Sprintf("it ends with entry %d, and %s has applied entry %d: entries are lost", last, stateFile, applied)}
	case first > newest+1:
		return 0, &CorruptError{filepath.Join(dir, snapDir), fmt.Sprintf("%s begins with entry %d, and the newest snapshot ends with %d: a snapshot is lost", logFile, first, newest)}
	}
	return newest, nil
}

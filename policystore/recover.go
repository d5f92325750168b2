package policystore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/policystore/internal/boltfile"
	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

// Backup writes all that the store holds, as of a moment between the call and its end, to w:
// what [Recover] reads. Changes go on meanwhile, but the state's file grows as if nothing were
// removed, and a snapshot that a leader sends waits: w should not be slow. It contains no
// secrets but the hashes of tokens.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	err := s.read(ctx, Linearizable, func(*transaction) error { return nil })
	if err == nil {
		err = s.backup(w)
	}
	if err != nil {
		return fmt.Errorf("back up policy store %s: %w", s.config.Dir, err)
	}
	return nil
}

func (s *Store) backup(w io.Writer) error {
	if err := s.join(); err != nil {
		return err
	}
	defer s.calls.Done()
	snap, err := s.state.snapshot()
	if err != nil {
		return err
	}
	defer snap.Release()
	out := bufio.NewWriterSize(w, 1<<20)
	return errors.Join(snap.write(out), out.Flush())
}

// Recover makes c.Dir a node by itself again from its state file, when the log or the
// snapshots are lost or damaged, or from a backup when that is not nil. What takes
// their place must be out of the way first: Recover overwrites nothing. Only Dir and NodeID
// of the configuration count, and NodeID must be what it was. ErrInvalid: something is in the way, or
// the backup is none, or damaged; nothing is changed then.
//
// The state file has everything that was acknowledged. A node of a group should rather be
// removed and added anew: the others have what it lost, and its votes may be lost too.
func Recover(c Config, backup io.Reader) error {
	c, err := c.withDefaults()
	if err == nil {
		err = recoverDir(c, backup)
	}
	if err != nil {
		return fmt.Errorf("recover policy store %s: %w", c.Dir, err)
	}
	return nil
}

func recoverDir(c Config, backup io.Reader) (err error) {
	path := filepath.Join(c.Dir, lockFile)
	fresh := missing(c.Dir, path)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	lock, err := lockDir(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			for _, made := range slices.Backward(fresh) {
				_ = os.Remove(made) // of the directory only if it is empty
			}
		}
		err = errors.Join(err, lock.release())
	}()
	state := filepath.Join(c.Dir, stateFile)
	if err := absent(filepath.Join(c.Dir, logFile), filepath.Join(c.Dir, snapDir)); err != nil {
		return err
	}
	if backup != nil {
		if err := unpack(state, backup); err != nil {
			return err
		}
	} else if _, err := os.Stat(state); err != nil {
		return fmt.Errorf("there is no state to recover from: %w", err)
	}
	s, err := openState(state, standardLimits)
	if err != nil {
		return err
	}
	return errors.Join(c.makeLog(s), s.close())
}

// missing are those of the paths that are not there.
func missing(paths ...string) []string {
	return slices.DeleteFunc(paths, func(path string) bool {
		_, err := os.Lstat(path)
		return !errors.Is(err, fs.ErrNotExist)
	})
}

// absent refuses to go on when something is where something will be made.
func absent(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %s exists; move it away first", ErrInvalid, path)
		}
	}
	return nil
}

// unpack puts a backup's state in place.
func unpack(path string, backup io.Reader) error {
	if err := absent(path); err != nil {
		return err
	}
	s := &state{path: path}
	if err := s.receive(backup); err != nil {
		_ = os.Remove(s.restoring()) // the error says more
		var disk *fs.PathError
		if notOne := errors.Is(err, errSnapshot) || errors.Is(err, ErrCorrupt); notOne && !errors.As(err, &disk) {
			return fmt.Errorf("%w: what was given as a backup is none: %w", ErrInvalid, err)
		}
		return err
	}
	return boltfile.Replace(s.restoring(), path)
}

// recoveredTerm begins the log of a recovered node. There is nobody whose terms it
// could contradict.
const recoveredTerm = 1

// makeLog makes a snapshot of the state, and a log that is empty behind it.
func (c Config) makeLog(s *state) (err error) {
	f := &fsm{s}
	applied, err := f.appliedIndex()
	if err != nil {
		return err
	}
	if applied == 0 {
		return errors.New("the state is empty; opening the store makes everything anew")
	}
	log, err := raftlog.Open(filepath.Join(c.Dir, logFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := log.SetUint64([]byte("CurrentTerm"), recoveredTerm); err != nil { // Raft's key
		return err
	}
	snaps, err := raftlog.OpenSnapshots(filepath.Join(c.Dir, snapDir), snapshotsKept)
	if err != nil {
		return err
	}
	address, transport := raft.NewInmemTransport(raft.ServerAddress(c.NodeID))
	alone := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(c.NodeID), Address: address}}}
	sink, err := snaps.Create(raft.SnapshotVersionMax, applied, recoveredTerm, alone, applied, transport)
	if err != nil {
		return err
	}
	snap, err := f.Snapshot()
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	defer snap.Release()
	return snap.Persist(sink)
}

package raftlog

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"os"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/failpoint"
	"github.com/pyisolate/pyisolate/policystore/internal/boltfile"
	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

var (
	syncedPoint  = failpoint.New("snapshot.synced")
	createdPoint = failpoint.New("snapshot.created")
	removedPoint = failpoint.New("snapshot.removed")
)

// sink is a snapshot that is being written.
type sink struct {
	store *Snapshots
	d     description
	file  *os.File
	out   *bufio.Writer
	hash  hash.Hash
	ended bool
}

// Create begins a snapshot. One with the same term and index is replaced when the new one
// is closed.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("snapshots in %s: version %d is not %d", s.dir, version, raft.SnapshotVersionMax)
	}
	w := &sink{store: s, hash: sha256.New(), d: description{meta: raft.SnapshotMeta{
		ID: snapshotID(term, index), Index: index, Term: term, Configuration: c, ConfigurationIndex: configIndex,
	}}}
	var err error
	if w.file, err = os.OpenFile(w.unfinished(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	w.out = bufio.NewWriterSize(w.file, 1<<16)
	return w, nil
}

func (w *sink) unfinished() string { return w.store.path(w.ID()) + unfinishedSuffix }

// ID is the snapshot's.
func (w *sink) ID() string { return w.d.meta.ID }

// Write appends to the content.
func (w *sink) Write(b []byte) (int, error) {
	n, err := w.out.Write(b)
	_, _ = w.hash.Write(b[:n])
	w.d.meta.Size += int64(n)
	return n, err
}

// Close completes the snapshot, puts it on the disk under its name and removes the oldest.
func (w *sink) Close() error {
	if w.ended {
		return nil
	}
	w.ended = true
	if err := w.finish(); err != nil {
		return fmt.Errorf("snapshot %s: %w", w.store.path(w.ID()), err)
	}
	return w.store.removeOld()
}

func (w *sink) finish() error {
	w.d.hash = [32]byte(w.hash.Sum(nil))
	sealed := wire.Seal(snapshotBucket, []byte(w.ID()), w.d.encode())
	_, err := w.out.Write(binary.BigEndian.AppendUint32(sealed, uint32(len(sealed))))
	if err := errors.Join(err, w.out.Flush(), w.file.Sync(), w.file.Close()); err != nil {
		return errors.Join(err, os.Remove(w.unfinished()))
	}
	syncedPoint.Hit()
	if err := boltfile.Replace(w.unfinished(), w.store.path(w.ID())); err != nil {
		return err
	}
	createdPoint.Hit()
	return nil
}

// Cancel gives the snapshot up.
func (w *sink) Cancel() error {
	if w.ended {
		return nil
	}
	w.ended = true
	return errors.Join(w.file.Close(), os.Remove(w.unfinished()))
}

func (s *Snapshots) removeOld() error {
	ids, err := s.ids()
	if err != nil || len(ids) <= s.keep {
		return err
	}
	for _, id := range ids[s.keep:] {
		if err := os.Remove(s.path(id)); err != nil {
			return err
		}
		removedPoint.Hit()
	}
	return nil
}

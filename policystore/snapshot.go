package policystore

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/internal/failpoint"
	"github.com/pyisolate/pyisolate/policystore/internal/boltfile"
)

// A snapshot is this header, the size of a state file in eight bytes, the file, and the
// SHA-256 of all before.
const (
	snapshotHeader = snapshotBegins + "1\n"
	snapshotBegins = "pyisolate policies snapshot "
)

// maxState bounds the file in a snapshot, in bytes.
const maxState = 1 << 40

var (
	persistedPoint = failpoint.New("snapshot.persisted")
	restoredPoint  = failpoint.New("restore.written")
	syncedPoint    = failpoint.New("restore.synced")
	exchangedPoint = failpoint.New("restore.exchanged")
)

// errSnapshot: what should be a snapshot is not, or not whole.
var errSnapshot = errors.New("not a whole snapshot")

// snapshot is the state of one moment.
type snapshot struct {
	state *state
	tx    *bolt.Tx
}

func (s *state) snapshot() (*snapshot, error) {
	s.copying.RLock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	tx, err := s.db.Begin(false)
	if err != nil {
		s.copying.RUnlock()
		return nil, err
	}
	return &snapshot{s, tx}, nil
}

// Persist writes the snapshot. Changes go on meanwhile.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		return errors.Join(fmt.Errorf("snapshot of %s: %w", s.state.path, err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("snapshot of %s: %w", s.state.path, err)
	}
	persistedPoint.Hit()
	return nil
}

func (s *snapshot) write(w io.Writer) error {
	hash := sha256.New()
	both := io.MultiWriter(w, hash)
	if _, err := both.Write(binary.BigEndian.AppendUint64([]byte(snapshotHeader), uint64(s.tx.Size()))); err != nil {
		return err
	}
	if _, err := s.tx.WriteTo(both); err != nil {
		return err
	}
	_, err := w.Write(hash.Sum(nil))
	return err
}

// Release ends the snapshot.
func (s *snapshot) Release() {
	_ = s.tx.Rollback() // a read transaction's cannot fail
	s.state.copying.RUnlock()
}

func (s *state) restoring() string { return s.path + ".restore" }

// restore replaces the state by a snapshot's, when all of that has been read and found
// sound. Until the exchange, the old state is in place.
func (s *state) restore(from io.Reader) error {
	if err := s.receive(from); err != nil {
		return errors.Join(err, os.Remove(s.restoring()))
	}
	s.copying.Lock()
	defer s.copying.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.Close(); err != nil {
		return err
	}
	err := boltfile.Replace(s.restoring(), s.path)
	exchangedPoint.Hit()
	db, openErr := boltfile.Open(s.path, stateMap, initialise)
	if openErr != nil {
		return errors.Join(err, s.fail(openErr)) // s.db stays closed
	}
	s.db, db.NoSync = db, s.lazy
	s.changed.tell()
	s.moved.tell()
	return err
}

// receive writes a snapshot's file beside the state's and checks it.
func (s *state) receive(from io.Reader) error {
	path := s.restoring()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = readSnapshot(from, f)
	restoredPoint.Hit()
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	syncedPoint.Hit()
	db, err := openVerified(path)
	if err != nil {
		return err
	}
	return db.Close()
}

// readSnapshot copies the file that is in a snapshot.
func readSnapshot(from io.Reader, to io.Writer) error {
	hash := sha256.New()
	in := bufio.NewReader(from)
	both := io.TeeReader(in, hash)
	header := make([]byte, len(snapshotHeader)+8)
	if _, err := io.ReadFull(both, header); err != nil {
		return fmt.Errorf("%w: its header: %w", errSnapshot, err)
	}
	switch {
	case bytes.HasPrefix(header, []byte(snapshotHeader)):
	case bytes.HasPrefix(header, []byte(snapshotBegins)):
		return fmt.Errorf("%w: a snapshot of format %q; update this node", ErrNewer, header[len(snapshotBegins):len(snapshotHeader)-1])
	default:
		return fmt.Errorf("%w: it begins with %q", errSnapshot, header[:len(snapshotHeader)])
	}
	size := binary.BigEndian.Uint64(header[len(snapshotHeader):])
	if size > maxState {
		return fmt.Errorf("%w: a state of %d bytes", errSnapshot, size)
	}
	if n, err := io.CopyN(to, both, int64(size)); err != nil {
		return fmt.Errorf("%w: %d of %d bytes: %w", errSnapshot, n, size, err)
	}
	want := hash.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in, got); err != nil {
		return fmt.Errorf("%w: its checksum: %w", errSnapshot, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its checksum does not match", errSnapshot)
	}
	return nil
}

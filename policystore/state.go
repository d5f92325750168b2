package policystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/internal/failpoint"
	"github.com/pyisolate/pyisolate/policystore/internal/boltfile"
	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

var appliedPoint = failpoint.New("state.applied")

// stateMap is the address space that is mapped at once. Only when the file outgrows it does a
// change wait for readers.
const stateMap = 1 << 30

// state is what the log's entries made, in a file. One goroutine at a time changes it;
// any may view it.
type state struct {
	path   string
	limits limits

	mu   sync.RWMutex // held shared while db is used, exclusively while it is exchanged
	db   *bolt.DB
	lazy bool // changes are not put on the disk at once

	// copying is held shared while a snapshot is written: bbolt opens the file again by
	// its name for that, so the file may not be exchanged.
	copying sync.RWMutex

	// changed tells when policies have changed, moved when anything was applied or can no
	// longer be, and failing when the latter.
	changed, moved broadcast
	failing        chan struct{}
	// logged is how many bytes of entries were applied since the last snapshot, and large
	// is sent to when they become too many.
	logged atomic.Int64
	large  chan struct{}

	// failed is why the state no longer follows the log, nil while it does.
	failed atomic.Pointer[error]
}

// openState opens the file at path, or makes it, and reads all of it.
func openState(path string, l limits) (*state, error) {
	s := &state{path: path, limits: l, large: make(chan struct{}, 1), failing: make(chan struct{})}
	s.changed.tell()
	s.moved.tell()
	if err := os.Remove(s.restoring()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	db, err := openVerified(path)
	if err != nil {
		return nil, err
	}
	s.db = db
	return s, nil
}

// openVerified opens a state file and reads all of it.
func openVerified(path string) (*bolt.DB, error) {
	db, err := boltfile.Open(path, stateMap, initialise)
	if err != nil {
		return nil, corrupt(err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		t, err := begin(tx, path)
		if err != nil {
			return err
		}
		return t.verify()
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func initialise(tx *bolt.Tx) error {
	for _, name := range append([][]byte{headBucket}, recordBuckets...) {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return (&transaction{tx: tx}).finish()
}

func (s *state) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.settle(), s.db.Close())
}

// view runs read on the state of one moment.
func (s *state) view(read func(*transaction) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db.View(func(tx *bolt.Tx) error {
		t, err := begin(tx, s.path)
		if err != nil {
			return err
		}
		return read(t)
	})
}

// update runs change and keeps what it did, all or nothing.
func (s *state) update(change func(*transaction) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := s.db.Update(func(tx *bolt.Tx) error {
		t, err := begin(tx, s.path)
		if err != nil {
			return err
		}
		if err := change(t); err != nil {
			return err
		}
		return t.finish()
	})
	if err == nil {
		appliedPoint.Hit()
	}
	return err
}

// broadcast wakes everybody who waits for something to happen again.
type broadcast struct{ channel atomic.Pointer[chan struct{}] }

// next is closed when it happens the next time. There must have been a first time.
func (b *broadcast) next() <-chan struct{} { return *b.channel.Load() }

func (b *broadcast) tell() {
	next := make(chan struct{})
	if last := b.channel.Swap(&next); last != nil {
		close(*last)
	}
}

// noteLogged counts what was applied. Raft counts entries alone, and they can be large.
func (s *state) noteLogged(bytes int) {
	if s.logged.Add(int64(bytes)) < s.limits.logBytes {
		return
	}
	select {
	case s.large <- struct{}{}:
	default: // somebody has been told
	}
}

// fail ends changing the state: going on after an entry that could not be applied would
// make a state that the log does not have.
func (s *state) fail(err error) error {
	err = fmt.Errorf("%w: %s: %w; open the store again when that is put right", ErrFailed, s.path, err)
	if s.failed.CompareAndSwap(nil, &err) {
		close(s.failing)
		s.moved.tell()
	}
	return err
}

// failure is what fail was given first, nil for nothing.
func (s *state) failure() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// verify reads every record, and holds their number and sum to the head's.
func (t *transaction) verify() error {
	var records uint64
	var total sum
	for _, bucket := range recordBuckets {
		b := t.tx.Bucket(bucket)
		if b == nil {
			return t.damage("it has no bucket %q", bucket)
		}
		err := b.ForEach(func(k, v []byte) error {
			if _, err := t.open(bucket, k, v); err != nil {
				return err
			}
			records++
			total.add(recordSum(bucket, k, v))
			return nil
		})
		if err != nil {
			return err
		}
	}
	if records != t.head.records || total != t.head.recordsSum {
		return t.damage("it has %d records with another sum than the %d that were written", records, t.head.records)
	}
	if b := t.tx.Bucket(headBucket); !bytes.Equal(b.Get(headKey), wire.Seal(headBucket, headKey, t.head.encode())) {
		return t.damage("its head is not as it was written")
	}
	return nil
}

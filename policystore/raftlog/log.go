package raftlog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/internal/failpoint"
	"github.com/pyisolate/pyisolate/policystore/internal/boltfile"
	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// Damage is what is wrong with a file.
type Damage = boltfile.Damage

// ErrLocked: another process has the file open.
var ErrLocked = boltfile.ErrLocked

// The layout of the file. Changing it needs another format.
var (
	headerBucket = []byte("header")
	logBucket    = []byte("log")
	stableBucket = []byte("stable")

	formatKey = []byte("format")
	spanKey   = []byte("span") // which entries there are
)

const format = 1

// fill of pages: entries are only appended.
const fill = 0.95

// minMap is the address space that is mapped: far more than a log between two snapshots
// has, so that no write waits for a reader.
const minMap = 256 << 20

var (
	storedPoint  = failpoint.New("raftlog.stored")
	deletedPoint = failpoint.New("raftlog.deleted")
	setPoint     = failpoint.New("raftlog.set")
)

var (
	_ raft.LogStore          = (*Log)(nil)
	_ raft.StableStore       = (*Log)(nil)
	_ raft.MonotonicLogStore = (*Log)(nil)
)

// Log is an open file. Its methods may be called from any goroutine.
type Log struct {
	path string
	db   *bolt.DB

	writing sync.Mutex           // held while span and the file may differ
	span    atomic.Pointer[span] // what was stored without error
}

// Open opens the file at path, or makes it, and reads all of it. The error for a damaged
// file wraps a [*Damage]; when another process has the file, it wraps [ErrLocked].
func Open(path string) (*Log, error) {
	db, err := boltfile.Open(path, minMap, initialise)
	if err != nil {
		return nil, fmt.Errorf("raft log: %w", err)
	}
	l := &Log{path: path, db: db}
	s, err := l.verify()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("raft log: %w", err), db.Close())
	}
	l.span.Store(&s)
	return l, nil
}

func initialise(tx *bolt.Tx) error {
	for _, name := range [][]byte{headerBucket, logBucket, stableBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	h := tx.Bucket(headerBucket)
	return errors.Join(
		h.Put(formatKey, wire.Seal(headerBucket, formatKey, []byte{format})),
		h.Put(spanKey, wire.Seal(headerBucket, spanKey, span{}.encode())))
}

// Close closes the file. No call may be under way.
func (l *Log) Close() error { return l.db.Close() }

// IsMonotonic tells Raft that the log cannot have gaps.
func (l *Log) IsMonotonic() bool { return true }

// FirstIndex is of the first entry, 0 for none.
func (l *Log) FirstIndex() (uint64, error) { return l.span.Load().first, nil }

// LastIndex is of the last entry, 0 for none.
func (l *Log) LastIndex() (uint64, error) { return l.span.Load().last, nil }

// GetLog reads one entry; raft.ErrLogNotFound if there is none.
func (l *Log) GetLog(index uint64, entry *raft.Log) error {
	return l.db.View(func(tx *bolt.Tx) error {
		k := key(index)
		v := tx.Bucket(logBucket).Get(k)
		if v == nil {
			return raft.ErrLogNotFound
		}
		return l.read(k, v, entry)
	})
}

// read opens and decodes an entry. It checks the index, too.
func (l *Log) read(k, v []byte, entry *raft.Log) error {
	body, err := wire.Open(logBucket, k, v)
	if err == nil {
		err = decode(body, entry)
	}
	if err == nil && string(key(entry.Index)) != string(k) {
		err = fmt.Errorf("it calls itself %d", entry.Index)
	}
	if err != nil {
		return &Damage{File: l.path, What: fmt.Sprintf("log entry %x: %v", k, err)}
	}
	return nil
}

// StoreLog appends one entry.
func (l *Log) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends entries, all or none, and returns when they are on the disk. The first
// must follow the last one there, unless there is none.
func (l *Log) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	err := l.update(func(tx *bolt.Tx, s span) (span, error) {
		b := tx.Bucket(logBucket)
		b.FillPercent = fill
		for _, e := range entries {
			if s.last != 0 && e.Index != s.last+1 || e.Index == 0 {
				return s, fmt.Errorf("entry %d cannot follow entry %d", e.Index, s.last)
			}
			k := key(e.Index)
			if err := b.Put(k, wire.Seal(logBucket, k, encode(e))); err != nil {
				return s, err
			}
			if s.last = e.Index; s.first == 0 {
				s.first = e.Index
			}
		}
		return s, nil
	})
	if err != nil {
		return fmt.Errorf("raft log %s: store entries from %d on: %w", l.path, entries[0].Index, err)
	}
	storedPoint.Hit()
	return nil
}

// DeleteRange removes the entries from least to most, both inclusive: a beginning of the
// log, its end, or all of it. What lies outside of the log is ignored.
func (l *Log) DeleteRange(least, most uint64) error {
	err := l.update(func(tx *bolt.Tx, s span) (span, error) {
		least, most := max(least, s.first), min(most, s.last)
		if s.last == 0 || least > most {
			return s, nil
		}
		switch {
		case least == s.first && most == s.last:
			return span{}, empty(tx)
		case least == s.first:
			s.first = most + 1
		case most == s.last:
			s.last = least - 1
		default:
			return s, fmt.Errorf("they are within the log, which has %d to %d", s.first, s.last)
		}
		return s, remove(tx.Bucket(logBucket), least, most)
	})
	if err != nil {
		return fmt.Errorf("raft log %s: delete entries %d to %d: %w", l.path, least, most, err)
	}
	deletedPoint.Hit()
	return nil
}

// empty removes all entries without reading them.
func empty(tx *bolt.Tx) error {
	if err := tx.DeleteBucket(logBucket); err != nil {
		return err
	}
	_, err := tx.CreateBucket(logBucket)
	return err
}

func remove(b *bolt.Bucket, least, most uint64) error {
	for i := least; i <= most; i++ {
		if err := b.Delete(key(i)); err != nil {
			return err
		}
	}
	return nil
}

package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// errNotFound has the text that Raft compares with.
var errNotFound = errors.New("not found")

// Set stores a value under a key and returns when it is on the disk.
func (l *Log) Set(key, value []byte) error {
	err := l.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(stableBucket).Put(key, wire.Seal(stableBucket, key, append([]byte(nil), value...)))
	})
	if err != nil {
		return fmt.Errorf("raft log %s: set %s: %w", l.path, key, err)
	}
	setPoint.Hit()
	return nil
}

// Get returns a copy of a value, or an error whose text is "not found".
func (l *Log) Get(key []byte) (value []byte, err error) {
	err = l.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(stableBucket).Get(key)
		if v == nil {
			return errNotFound
		}
		body, err := wire.Open(stableBucket, key, v)
		if err != nil {
			return &Damage{File: l.path, What: fmt.Sprintf("stable value %q: %v", key, err)}
		}
		value = append([]byte{}, body...)
		return nil
	})
	return value, err
}

// SetUint64 stores a number.
func (l *Log) SetUint64(key []byte, value uint64) error {
	return l.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 returns a number that SetUint64 stored.
func (l *Log) GetUint64(key []byte) (uint64, error) {
	v, err := l.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("raft log %s: value %q is not a number: it has %d bytes", l.path, key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

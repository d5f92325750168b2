package raftlog

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// verify reads the whole file and returns which entries it has.
func (l *Log) verify() (s span, err error) {
	err = l.db.View(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{headerBucket, logBucket, stableBucket} {
			if tx.Bucket(name) == nil {
				return l.damage("it has no bucket %q", name)
			}
		}
		if s, err = l.verifyHeader(tx); err != nil {
			return err
		}
		if err := l.verifyEntries(tx.Bucket(logBucket), s); err != nil {
			return err
		}
		return tx.Bucket(stableBucket).ForEach(func(k, v []byte) error {
			if _, err := wire.Open(stableBucket, k, v); err != nil {
				return l.damage("stable value %q: %v", k, err)
			}
			return nil
		})
	})
	return s, err
}

func (l *Log) damage(format string, args ...any) error {
	return &Damage{File: l.path, What: fmt.Sprintf(format, args...)}
}

func (l *Log) verifyHeader(tx *bolt.Tx) (span, error) {
	body, err := wire.Open(headerBucket, formatKey, tx.Bucket(headerBucket).Get(formatKey))
	if err != nil {
		return span{}, l.damage("its format: %v", err)
	}
	if !bytes.Equal(body, []byte{format}) {
		return span{}, fmt.Errorf("%s: it is %w: %x; this one is %d", l.path, errFormat, body, format)
	}
	return l.readSpan(tx)
}

// verifyEntries finds missing, strange and altered entries.
func (l *Log) verifyEntries(b *bolt.Bucket, s span) error {
	next := s.first
	err := b.ForEach(func(k, v []byte) error {
		if next == 0 || next > s.last || !bytes.Equal(k, key(next)) {
			return l.damage("it should have log entries %d to %d, then there is %x instead of %d", s.first, s.last, k, next)
		}
		next++
		var entry raft.Log
		return l.read(k, v, &entry)
	})
	if err == nil && s.last != 0 && next <= s.last {
		err = l.damage("it should have log entries %d to %d, and ends before %d", s.first, s.last, next)
	}
	return err
}

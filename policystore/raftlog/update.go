package raftlog

import (
	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// update changes entries and their span in one transaction.
func (l *Log) update(change func(*bolt.Tx, span) (span, error)) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	after := *l.span.Load()
	err := l.db.Update(func(tx *bolt.Tx) error {
		has, err := l.readSpan(tx)
		if err != nil {
			return err
		}
		before, err := trim(tx, has, after)
		if err != nil {
			return err
		}
		if after, err = change(tx, before); err != nil || after == has {
			return err
		}
		return tx.Bucket(headerBucket).Put(spanKey, wire.Seal(headerBucket, spanKey, after.encode()))
	})
	if err != nil {
		l.lookAgain()
		return err
	}
	l.span.Store(&after)
	return nil
}

// trim removes what a change left in the file that failed when it could no longer be taken
// back, and that nobody was told of: what the file has beyond what is known. What it lacks, a
// removal that failed took away.
func trim(tx *bolt.Tx, has, known span) (span, error) {
	both := has.within(known)
	switch both {
	case has:
		return both, nil
	case span{}:
		return both, empty(tx)
	}
	b := tx.Bucket(logBucket)
	for _, rest := range []span{{has.first, both.first - 1}, {both.last + 1, has.last}} {
		if err := remove(b, rest.first, rest.last); err != nil {
			return both, err
		}
	}
	return both, nil
}

// lookAgain forgets what the file no longer has: a change that failed may be there all the
// same, when its last fsync failed.
func (l *Log) lookAgain() {
	_ = l.db.View(func(tx *bolt.Tx) error { // if it cannot be read, the next change fails, too
		has, err := l.readSpan(tx)
		if err == nil {
			has = has.within(*l.span.Load())
			l.span.Store(&has)
		}
		return err
	})
}

func (l *Log) readSpan(tx *bolt.Tx) (span, error) {
	body, err := wire.Open(headerBucket, spanKey, tx.Bucket(headerBucket).Get(spanKey))
	if err != nil {
		return span{}, l.damage("the span of its entries: %v", err)
	}
	s, err := decodeSpan(body)
	if err != nil {
		return span{}, l.damage("the span of its entries: %v", err)
	}
	return s, nil
}

package raftlog

import (
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// behind makes the file what it is when the last fsync of a change failed: the change is seen
// in it, and nobody was told so.
func behind(t *testing.T, l *Log, s span, change func(b *bolt.Bucket) error) {
	t.Helper()
	err := l.db.Update(func(tx *bolt.Tx) error {
		if err := tx.Bucket(headerBucket).Put(spanKey, wire.Seal(headerBucket, spanKey, s.encode())); err != nil {
			return err
		}
		return change(tx.Bucket(logBucket))
	})
	if err != nil {
		t.Fatal(err)
	}
	l.lookAgain()
}

func TestFailedButThere(t *testing.T) {
	store := func(first, last uint64) func(*bolt.Bucket) error {
		return func(b *bolt.Bucket) error {
			for _, e := range entries(first, last) {
				k := key(e.Index)
				if err := b.Put(k, wire.Seal(logBucket, k, encode(e))); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		known  span // stored before
		file   span // what is there
		change func(*bolt.Bucket) error
		left   span // what the log has then
	}{
		"more":     {span{1, 5}, span{1, 9}, store(6, 9), span{1, 5}},
		"first":    {span{}, span{1, 4}, store(1, 4), span{}},
		"no end":   {span{1, 9}, span{1, 5}, func(b *bolt.Bucket) error { return remove(b, 6, 9) }, span{1, 5}},
		"no begin": {span{1, 9}, span{4, 9}, func(b *bolt.Bucket) error { return remove(b, 1, 3) }, span{4, 9}},
		"nothing":  {span{1, 9}, span{}, func(b *bolt.Bucket) error { return remove(b, 1, 9) }, span{}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "raft.db")
			l := openLog(t, path)
			if c.known.last > 0 {
				if err := l.StoreLogs(entries(c.known.first, c.known.last)); err != nil {
					t.Fatal(err)
				}
			}
			behind(t, l, c.file, c.change)
			if got := *l.span.Load(); got != c.left {
				t.Errorf("the log has %v, want %v", got, c.left)
			}
			next := max(c.left.last+1, 1)
			if err := l.StoreLogs(entries(next, next)); err != nil {
				t.Error("it does not go on:", err)
			}
			closeLog(t, l)
			l = openLog(t, path)
			if got, want := *l.span.Load(), (span{max(c.left.first, 1), next}); got != want {
				t.Errorf("after opening it has %v, want %v", got, want)
			}
			closeLog(t, l)
		})
	}
}

// A change that fails, and is not there, changes nothing.
func TestFailed(t *testing.T) {
	l := openLog(t, filepath.Join(t.TempDir(), "raft.db"))
	defer closeLog(t, l)
	if err := l.StoreLogs(entries(1, 5)); err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLogs(entries(8, 9)); err == nil {
		t.Error("there is a gap")
	}
	if got := *l.span.Load(); got != (span{1, 5}) {
		t.Errorf("the log has %v", got)
	}
}

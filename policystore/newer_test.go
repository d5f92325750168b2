package policystore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// TestNewerEntry has a newer version's entry come: a node that does not know it stops where it is,
// says why, lets another one lead, and goes on when it is opened by a version that knows.
func TestNewerEntry(t *testing.T) {
	w := startGroup(t, 3)
	putAnywhere(t, w, "known")
	w.waitEqual(t)
	before, err := w.leader(t, "").Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entry := []byte{commandFormatSince + 1, 1, 2, 3}
	await.That(t, "the entry to be made", func() bool {
		return slices.ContainsFunc(w.all(), func(n *node) bool {
			return n.state.failure() != nil || n.Leads() && n.raft.Apply(entry, enqueueTimeout).Error() == nil
		})
	})
	for _, n := range w.all() {
		await.That(t, n.id+" to stop", func() bool { return n.state.failure() != nil })
		if err := n.Fresh(); !errors.Is(err, ErrNewer) || !errors.Is(err, ErrFailed) {
			t.Errorf("%s: %v", n.id, err)
		}
		if _, err := n.Put(t.Context(), editor, PutRequest{Name: "p", Text: []byte("x")}); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", n.id, err)
		}
		if _, err := n.Get(t.Context(), "etl", 0, Linearizable); !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", n.id, err)
		}
		if err := n.raft.Snapshot().Error(); err == nil {
			t.Errorf("%s drops the entry from its log", n.id)
		}
		if after, err := n.Status(t.Context()); err != nil || after.Digest != before.Digest {
			t.Errorf("%s has changed: %+v, %v", n.id, after, err)
		}
	}
}

// TestOneOldNode has one of three stop, which leads: the others take over.
func TestOneOldNode(t *testing.T) {
	w := startGroup(t, 3)
	putAnywhere(t, w, "one")
	w.waitEqual(t)
	old := w.leader(t, "")
	_ = old.state.fail(newer("a command", 3, 2))
	other := w.leader(t, old.id)
	if _, err := other.Put(t.Context(), editor, PutRequest{Name: "etl", Text: []byte("two")}); err != nil {
		t.Error(err)
	}
	if v, err := old.Get(t.Context(), "etl", 0, Stale); err != nil || string(v.Text) != "one" {
		t.Errorf("%q, %v", v.Text, err)
	}
	if _, err := old.Put(t.Context(), editor, PutRequest{Name: "etl", Text: []byte("three")}); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
}

// TestNewerSnapshot receives one, in each of the ways in which it can be newer.
func TestNewerSnapshot(t *testing.T) {
	source := newFSM(t, standardLimits)
	snap, err := source.snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var good bytes.Buffer
	err = snap.write(&good)
	snap.Release()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"container": bytes.Replace(good.Bytes(), []byte("snapshot 1\n"), []byte("snapshot 2\n"), 1),
		"state":     snapshotOf(t, newerState(t)),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFSM(t, standardLimits)
			before := f.digest(t)
			if err := f.Restore(closer{bytes.NewReader(bad)}); !errors.Is(err, ErrNewer) || !errors.Is(err, ErrFailed) || errors.Is(err, ErrCorrupt) {
				t.Error(err)
			}
			if f.digest(t) != before {
				t.Error("the state has changed")
			}
			if err := f.failure(); !errors.Is(err, ErrNewer) {
				t.Errorf("it goes on: %v", err)
			}
		})
	}
	dir := t.TempDir()
	if err := os.Rename(newerState(t), filepath.Join(dir, stateFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir}); !errors.Is(err, ErrNewer) || errors.Is(err, ErrCorrupt) {
		t.Errorf("a newer file: %v", err)
	}
}

type closer struct{ *bytes.Reader }

func (closer) Close() error { return nil }

// newerState is the path of a state file of a newer version.
func newerState(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), stateFile)
	s, err := openState(path, standardLimits)
	if err != nil {
		t.Fatal(err)
	}
	err = s.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(headBucket).Put(headKey, wire.Seal(headBucket, headKey, []byte{stateFormat + 1, 7, 7}))
	})
	if err := errors.Join(err, s.close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// snapshotOf packs a state file.
func snapshotOf(t *testing.T, path string) []byte {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var b bytes.Buffer
	if err := (&snapshot{tx: tx}).write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

package policystore

import (
	"path/filepath"
	"testing"
)

// TestReduceAfterASnapshot: the node that is left died when it had got a snapshot and not yet dropped the log. What
// the check says is done.
func TestReduceAfterASnapshot(t *testing.T) {
	w := startGroup(t, 3)
	putAnywhere(t, w, "old")
	w.waitEqual(t)
	left := w.follower(t)
	path, before := filepath.Join(left.dir, logFile), filepath.Join(t.TempDir(), logFile)
	mustClose(t, left.Store)
	if err := copyFile(path, before); err != nil {
		t.Fatal(err)
	}
	left = w.start(t, left.id, Config{Dir: left.dir}, Cluster{})
	putAnywhere(t, w, "new")
	w.waitEqual(t)
	snapshotNow(t, left.Store)
	for _, n := range w.all() {
		mustClose(t, n.Store)
	}
	if err := copyFile(before, path); err != nil {
		t.Fatal(err)
	}
	promised, err := Reduce(left.dir, left.id, true)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := Reduce(left.dir, left.id, false); err != nil || done != promised {
		t.Fatalf("at %v, %v; the check said %v", done, err, promised)
	}
	alone := newNetwork()
	alone.start(t, left.id, Config{Dir: left.dir}, Cluster{})
	n := alone.leader(t, "")
	if v, err := n.Get(t.Context(), "etl", 0, Linearizable); err != nil || string(v.Text) != "new" {
		t.Errorf("%q, %v", v.Text, err)
	}
	mustPut(t, n.Store, "etl", "and on")
}

package raftlog

import (
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// A node that died when it had got a snapshot, and not yet emptied its log, has the snapshot's group, and goes on
// from there.
func TestALogThatASnapshotCovers(t *testing.T) {
	dir := t.TempDir()
	l, snaps := openLog(t, filepath.Join(dir, "raft.db")), openSnapshots(t, filepath.Join(dir, "snapshots"))
	defer closeLog(t, l)
	old, now := []raft.Server{{ID: "a", Address: "a"}}, []raft.Server{{ID: "b", Address: "b"}, {ID: "c", Address: "c"}}
	first := raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{Servers: old})}
	w, err := snaps.Create(raft.SnapshotVersionMax, 9, 3, raft.Configuration{Servers: now}, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, "all")
	if err := errors.Join(err, w.Close(), l.StoreLog(&first), l.StoreLogs(entries(2, 5))); err != nil {
		t.Fatal(err)
	}
	hasServers(t, l, snaps, "b", "c")
	if index, term, err := Last(l, snaps); index != 9 || term != 3 || err != nil {
		t.Errorf("it ends with entry %d of term %d, %v", index, term, err)
	}
	if err := Give(l, snaps, now[:1]); err != nil {
		t.Fatal(err)
	}
	hasServers(t, l, snaps, "b")
	if index, term, err := Last(l, snaps); index != 10 || term != 3 || err != nil {
		t.Errorf("then it ends with entry %d of term %d, %v", index, term, err)
	}
	if err := DropCovered(l, snaps); err != nil {
		t.Fatal(err)
	}
	if last, _ := l.LastIndex(); last != 10 {
		t.Errorf("entries up to %d are left of a log that goes further than the snapshot", last)
	}
}

func hasServers(t *testing.T, l *Log, snaps raft.SnapshotStore, want ...raft.ServerID) {
	t.Helper()
	servers, err := Servers(l, snaps)
	if err != nil || len(servers) != len(want) {
		t.Fatalf("the group is %v, %v; want %v", servers, err, want)
	}
	for i, id := range want {
		if servers[i].ID != id {
			t.Errorf("the group is %v, want %v", servers, want)
		}
	}
}

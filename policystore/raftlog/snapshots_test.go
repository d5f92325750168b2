package raftlog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

var group = raft.Configuration{Servers: []raft.Server{{ID: "n", Address: "there"}, {ID: "m", Suffrage: raft.Nonvoter}}}

func openSnapshots(t testing.TB, dir string) *Snapshots {
	t.Helper()
	s, err := OpenSnapshots(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t testing.TB, s *Snapshots, term, index uint64) raft.SnapshotSink {
	t.Helper()
	w, err := s.Create(1, index, term, group, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func write(t testing.TB, s *Snapshots, term, index uint64, content string) string {
	t.Helper()
	w := create(t, s, term, index)
	_, err := io.WriteString(w, content)
	if err := errors.Join(err, w.Close(), w.Close(), w.Cancel()); err != nil {
		t.Fatal(err)
	}
	return w.ID()
}

func TestSnapshots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshots")
	s := openSnapshots(t, dir)
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Fatal(list, err)
	}
	write(t, s, 9, 10, "one")
	write(t, s, 9, 11, "two")
	write(t, s, 10, 12, strings.Repeat("three", 100_000))
	cancelled := create(t, s, 10, 13)
	if err := errors.Join(cancelled.Cancel(), cancelled.Cancel()); err != nil {
		t.Fatal(err)
	}
	create(t, s, 10, 14) // the node dies
	if _, err := s.Create(0, 1, 1, group, 1, nil); err == nil {
		t.Error("version 0 is accepted")
	}
	s = openSnapshots(t, dir)
	list, err := s.List()
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	want := &raft.SnapshotMeta{Version: 1, ID: list[0].ID, Index: 12, Term: 10, Configuration: group, ConfigurationIndex: 3, Size: 500_000}
	if diff := cmp.Diff(want, list[0]); diff != "" {
		t.Error(diff)
	}
	meta, content, err := s.Open(list[1].ID)
	if err != nil || meta.Index != 11 {
		t.Fatal(meta, err)
	}
	got, err := io.ReadAll(content)
	if err := errors.Join(err, content.Close()); err != nil || string(got) != "two" {
		t.Errorf("%q, %v", got, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%v are left", files)
	}
}

// TestDamagedSnapshots flips every bit and cuts the file everywhere.
func TestDamagedSnapshots(t *testing.T) {
	dir := t.TempDir()
	id := write(t, openSnapshots(t, dir), 1, 2, "content")
	path := filepath.Join(dir, id+snapshotSuffix)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, at int, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenSnapshots(dir, 2)
		var d *Damage
		if !errors.As(err, &d) || d.File != path {
			t.Errorf("%s %d: %v", what, at, err)
		}
	}
	for bit := range len(whole) * 8 {
		flipped := bytes.Clone(whole)
		flipped[bit/8] ^= 1 << (bit % 8)
		try("bit", bit, flipped)
	}
	for size := range whole {
		try("cut to", size, whole[:size])
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, snapshotID(1, 3)+snapshotSuffix)
	try("another's name", 0, whole)
}

func FuzzDecodeDescription(f *testing.F) {
	f.Add(description{meta: raft.SnapshotMeta{Index: 1, Term: 2, Size: 3, Configuration: group}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := decodeDescription(b); err == nil && !bytes.Equal(d.encode(), b) {
			t.Errorf("%x is read as %+v", b, d)
		}
	})
}

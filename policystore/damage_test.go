package policystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// makeStore makes a directory with two snapshots and a log behind them, and returns its
// digest.
func makeStore(t *testing.T, dir string) Digest {
	t.Helper()
	s := mustOpen(t, Config{Dir: dir, SnapshotEvery: 8})
	for i := range 40 {
		mustPut(t, s, fmt.Sprint("policy", i%5), strings.Repeat(fmt.Sprint(i), 100))
		if i%15 == 14 {
			if err := s.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustCreate(t, s, TokenRequest{Name: "ci", Role: Viewer})
	d := storeDigest(t, s)
	mustClose(t, s)
	return d
}

func storeDigest(t *testing.T, s *Store) Digest {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Digest
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}

// newestSnapshot is the newest one's path.
func newestSnapshot(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, snapDir, "*"))
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	return found[1]
}

// outcomeOf opens a damaged directory: either the damage is named, or everything is there.
func outcomeOf(t *testing.T, dir string, want Digest) (named string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Open(ctx, Config{Dir: dir, Validate: anything})
	var c *CorruptError
	switch {
	case errors.As(err, &c):
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.File) {
			t.Errorf("%v", err)
		}
		return c.File
	case err != nil:
		t.Errorf("%v is not a CorruptError", err)
		return ""
	}
	defer mustClose(t, s)
	if storeDigest(t, s) != want {
		t.Error("nothing was found, and the state differs")
	}
	mustPut(t, s, "after", "all is well")
	if _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	return ""
}

// TestDamagedFiles cuts and empties each file of a directory, and flips bits in it.
func TestDamagedFiles(t *testing.T) {
	whole, dir := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "damaged")
	want := makeStore(t, whole)
	r, flips := rand.New(rand.NewPCG(8, 9)), 40
	if testing.Short() {
		flips = 8
	}
	for name, path := range map[string]string{
		"log": filepath.Join(whole, logFile), "state": filepath.Join(whole, stateFile),
		"snapshot": newestSnapshot(t, whole),
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			relative, _ := filepath.Rel(whole, path)
			try := func(data []byte) string {
				copyDir(t, whole, dir)
				if err := os.WriteFile(filepath.Join(dir, relative), data, 0o600); err != nil {
					t.Fatal(err)
				}
				return outcomeOf(t, dir, want)
			}
			used := len(bytes.TrimRight(data, "\x00"))
			for _, size := range []int{0, 1, used / 2, used - 1} {
				if named := try(data[:size]); !strings.HasPrefix(filepath.Join(dir, relative), named) || named == "" {
					t.Errorf("cut to %d of %d: %q is named", size, used, named)
				}
			}
			found := 0
			for range flips {
				flipped := bytes.Clone(data)
				flipped[r.IntN(used)] ^= 1 << r.IntN(8)
				if try(flipped) != "" {
					found++
				}
			}
			t.Logf("%d of %d flipped bits were named, the others changed nothing", found, flips)
		})
	}
}

// TestLostFiles removes files, or puts older copies in their place.
func TestLostFiles(t *testing.T) {
	base := t.TempDir()
	whole, dir, older := filepath.Join(base, "whole"), filepath.Join(base, "lost"), filepath.Join(base, "older")
	s := mustOpen(t, Config{Dir: older})
	mustPut(t, s, "early", "x")
	mustClose(t, s)
	want := makeStore(t, whole)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		name  string
		lose  func() error
		named string // relative, "" when everything comes back
	}{
		{"nothing", func() error { return nil }, ""},
		{"state", func() error { return os.Remove(at(stateFile)) }, ""},
		{"log", func() error { return os.Remove(at(logFile)) }, logFile},
		{"snapshots", func() error { return os.RemoveAll(at(snapDir)) }, snapDir},
		{"newest snapshot", func() error { return os.Remove(newestSnapshot(t, dir)) }, snapDir},
		{"state and snapshots", func() error { return errors.Join(os.Remove(at(stateFile)), os.RemoveAll(at(snapDir))) }, snapDir},
		{"log and snapshots", func() error { return errors.Join(os.Remove(at(logFile)), os.RemoveAll(at(snapDir))) }, logFile},
		{"older log", func() error { return copyFile(filepath.Join(older, logFile), at(logFile)) }, logFile},
		{"older state", func() error { return copyFile(filepath.Join(older, stateFile), at(stateFile)) }, ""},
	} {
		copyDir(t, whole, dir)
		if err := c.lose(); err != nil {
			t.Fatal(err)
		}
		named := outcomeOf(t, dir, want)
		if named != "" {
			named, _ = filepath.Rel(dir, named)
		}
		if named != c.named {
			t.Errorf("%s: %q is named, want %q", c.name, named, c.named)
		}
	}
}

// TestSnapshotAheadOfLog: the node died when it had got a snapshot and not yet dropped the log.
func TestSnapshotAheadOfLog(t *testing.T) {
	dir := t.TempDir()
	path, before := filepath.Join(dir, logFile), filepath.Join(t.TempDir(), logFile)
	s := mustOpen(t, Config{Dir: dir})
	mustPut(t, s, "etl", "one")
	mustClose(t, s)
	if err := copyFile(path, before); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Config{Dir: dir})
	for range 10 {
		mustPut(t, s, "etl", "more")
	}
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	want := storeDigest(t, s)
	mustClose(t, s)
	if err := copyFile(before, path); err != nil {
		t.Fatal(err)
	}
	if named := outcomeOf(t, dir, want); named != "" {
		t.Errorf("%s is named", named)
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// TestRecover loses the log and the snapshots, then all.
func TestRecover(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "store")
	want := makeStore(t, dir)
	if err := Recover(Config{Dir: dir}, nil); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "raft.db exists; move it away") {
		t.Error(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, logFile)), os.RemoveAll(filepath.Join(dir, snapDir))); err != nil {
		t.Fatal(err)
	}
	if err := Recover(Config{Dir: dir}, nil); err != nil {
		t.Fatal(err)
	}
	if named := outcomeOf(t, dir, want); named != "" {
		t.Error(named)
	}

	s := mustOpen(t, Config{Dir: dir})
	v := mustPut(t, s, "policy0", "after the recovery")
	var backup bytes.Buffer
	if err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	want = storeDigest(t, s)
	mustClose(t, s)
	if v.Number != 9 {
		t.Error(v)
	}

	other := filepath.Join(base, "other")
	if err := Recover(Config{Dir: other}, io.LimitReader(&backup, 5000)); !errors.Is(err, errSnapshot) || !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was made for half a backup is left: %v", err)
	}
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Recover(Config{Dir: other}, strings.NewReader("this is no backup, but long enough for a header")); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if left, err := os.ReadDir(other); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := Recover(Config{Dir: other}, nil); err == nil {
		t.Error("recovered from nothing")
	}
	s = mustOpen(t, Config{Dir: dir})
	backup.Reset()
	if err := s.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if err := Recover(Config{Dir: other}, &backup); err != nil {
		t.Fatal(err)
	}
	if named := outcomeOf(t, other, want); named != "" {
		t.Error(named)
	}
}

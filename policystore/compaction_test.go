package policystore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

// TestCompaction has the log dropped behind snapshots, with nobody asking for it.
func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	c := Config{Dir: dir, SnapshotEvery: 16, SnapshotInterval: 5 * time.Millisecond}
	s := mustOpen(t, c)
	for i := range 100 {
		mustPut(t, s, fmt.Sprint("policy", i%3), fmt.Sprint(i))
	}
	await.That(t, "the log to be short", func() bool {
		first, _ := s.log.FirstIndex()
		last, _ := s.log.LastIndex()
		return last-first < 3*c.SnapshotEvery
	})
	mustClose(t, s)
	files, err := os.ReadDir(filepath.Join(dir, snapDir))
	if err != nil || len(files) > snapshotsKept {
		t.Errorf("%v, %v", files, err)
	}
	s = mustOpen(t, c)
	defer mustClose(t, s)
	for i := range 3 {
		history, err := s.History(t.Context(), fmt.Sprint("policy", i), 0, maxHistory)
		if err != nil || len(history) < 33 {
			t.Errorf("%d versions, %v", len(history), err)
		}
	}
	if sum, err := s.VerifyAudit(t.Context()); err != nil || sum.Records != 100 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestCompactionByBytes has few entries, which are large.
func TestCompactionByBytes(t *testing.T) {
	l := standardLimits
	l.logBytes = 100_000
	s := openLimited(t, Config{}, l)
	for range 12 {
		mustPut(t, s, "etl", strings.Repeat("x", 30_000))
	}
	await.That(t, "a snapshot", func() bool {
		files, err := os.ReadDir(filepath.Join(s.config.Dir, snapDir))
		return err == nil && len(files) > 0
	})
}

// TestLargeEntriesGo drops more of the log when it is large than when it is long.
func TestLargeEntriesGo(t *testing.T) {
	l := standardLimits
	l.logBytes = 200_000
	s := openLimited(t, Config{}, l)
	c := s.raft.ReloadableConfig()
	c.TrailingLogs = 10_000 // as several nodes have it
	if err := s.raft.ReloadConfig(c); err != nil {
		t.Fatal(err)
	}
	for range 400 {
		mustPut(t, s, "etl", strings.Repeat("x", 2000))
	}
	// What came since the last snapshot is up to 100 entries, and those that came while it was taken.
	await.That(t, "the log to be short", func() bool {
		first, _ := s.log.FirstIndex()
		last, _ := s.log.LastIndex()
		return last-first < 250 && s.raft.ReloadableConfig() == c
	})
}

package policystore

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		os.Exit(crashChild(dir))
	}
	// Raft may never answer what was under way when it was shut down.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/hashicorp/raft.(*deferError).Error"))
}

var (
	root   = Principal{Name: "root", Role: Admin}
	editor = Principal{Name: "editor", Role: PolicyAdmin}
	acme   = Principal{Name: "ann", Role: PolicyAdmin, Tenant: "acme"}
	reader = Principal{Name: "reader", Role: Viewer}
)

// testLog makes a store's log the test's, from warnings on.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func mustOpen(t testing.TB, c Config) *Store {
	t.Helper()
	if c.Logger == nil {
		c.Logger = testLog(t)
	}
	if c.Validate == nil {
		c.Validate = anything
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// anything is a Config.Validate for tests that are not about documents.
func anything(string, []byte) error { return nil }

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// openTest opens a store that the test closes at its end.
func openTest(t testing.TB, c Config) *Store {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s := mustOpen(t, c)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustPut(t testing.TB, s *Store, name, text string) Version {
	t.Helper()
	v, err := s.Put(context.Background(), editor, PutRequest{Name: name, Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func number(n uint64) *uint64 { return &n }

// clock is a settable Config.Now.
type clock struct{ at time.Time }

func newClock() *clock               { return &clock{time.Unix(1_800_000_000, 0).UTC()} }
func (c *clock) now() time.Time      { return c.at }
func (c *clock) add(d time.Duration) { c.at = c.at.Add(d) }

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/policystore"
)

func recoverCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	c := newPolicyRecover()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(&out)
	c.SetArgs(args)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// A store whose log and snapshots are gone is recovered from its state, and from a backup.
func TestPolicyRecover(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policies")
	s, err := policystore.Open(t.Context(), policystore.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	admin := policystore.Principal{Name: "admin", Role: policystore.Admin}
	text := []byte("version: 1.0\nsandboxes:\n  etl:\n    imports: [json]\n")
	_, putErr := s.Put(t.Context(), admin, policystore.PutRequest{Name: "etl", Text: text})
	backup, err := os.Create(filepath.Join(t.TempDir(), "backup"))
	if err := errors.Join(putErr, err, s.Backup(t.Context(), backup), backup.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := recoverCommand(t, dir); !errors.Is(err, policystore.ErrInUse) {
		t.Errorf("an open store: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := recoverCommand(t, dir); err == nil || !strings.Contains(err.Error(), "move it away first") {
		t.Errorf("a whole store: %v", err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "raft.db")), os.RemoveAll(filepath.Join(dir, "snapshots"))); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	for dir, args := range map[string][]string{dir: {dir}, other: {other, "--backup", backup.Name()}} {
		if out, err := recoverCommand(t, args...); err != nil || out != dir+": recovered\n" {
			t.Fatalf("%q, %v", out, err)
		}
		s, err := policystore.Open(t.Context(), policystore.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Get(t.Context(), "etl", 0, policystore.Linearizable)
		if err := errors.Join(err, s.Close()); err != nil || string(v.Text) != string(text) {
			t.Errorf("%s: %q, %v", dir, v.Text, err)
		}
	}
	for _, args := range [][]string{{dir + "-none"}, {dir, "--backup", dir + "-none"}} {
		if _, err := recoverCommand(t, args...); !errors.As(err, &usageError{}) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

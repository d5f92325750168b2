package main

import (
	"errors"
	"fmt"
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
	c.SetErr(&out)
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
	if out, err := recoverCommand(t, dir); !errors.Is(err, exitStatus(statusUsage)) || !strings.Contains(out, policystore.ErrInUse.Error()) {
		t.Errorf("an open store: %v, %s", err, out)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := recoverCommand(t, dir); !errors.Is(err, exitStatus(statusUsage)) || !strings.Contains(out, "move it away first") {
		t.Errorf("a whole store: %v, %s", err, out)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "raft.db")), os.RemoveAll(filepath.Join(dir, "snapshots"))); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	for dir, c := range map[string]struct {
		args []string
		said string
	}{
		dir:   {[]string{dir}, dir + ": recovered\n"},
		other: {[]string{other, "--backup", backup.Name(), "--json"}, fmt.Sprintf("{\"recovered\":%q}\n", other)},
	} {
		if out, err := recoverCommand(t, c.args...); err != nil || out != c.said {
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
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("version: 1.0\nsandboxes:\n  etl:\n    imports: [json]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := recoverCommand(t, dir+"-none", "--backup", garbage); !errors.Is(err, exitStatus(statusUsage)) || !strings.Contains(out, "as a backup is none") {
		t.Errorf("garbage: %v, %s", err, out)
	}
	for _, args := range [][]string{{dir + "-none"}, {dir, "--backup", dir + "-none"}} {
		if out, err := recoverCommand(t, args...); !errors.Is(err, exitStatus(statusUsage)) || !strings.Contains(out, "no such file") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
}

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore"
)

// A node's policies are backed up while it serves, and a store is made from that.
func TestPolicyBackup(t *testing.T) {
	dir := t.TempDir()
	startServe(t, dir)
	socket, file := filepath.Join(dir, "s"), filepath.Join(t.TempDir(), "backup")
	c, err := client.New(client.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	put := func(name string) {
		t.Helper()
		_, err := c.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: name, Text: []byte("version: 1.0\nsandboxes:\n  etl:\n    imports: [json]\n")}))
		if err != nil {
			t.Fatal(err)
		}
	}
	backup := func(path string, flags ...string) (string, error) {
		command := exec.CommandContext(t.Context(), "/proc/self/exe")
		command.Args = append([]string{"pyisolate-node", "policy", "backup", "--server", "unix://" + socket, path}, flags...)
		command.Env = append(os.Environ(), mainEnv+"=1")
		out, err := command.CombinedOutput()
		return string(out), err
	}
	put("before")
	if out, err := backup(file); err != nil || !strings.HasPrefix(out, file+": ") {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := backup(file, "--json"); err != nil || !strings.HasPrefix(out, `{"file":`) { // in the place of the older one
		t.Fatalf("%v: %s", err, out)
	}
	put("after")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	made, err := c.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "ci", Role: "admin", Tenant: "acme"}))
	if err != nil {
		t.Fatal(err)
	}
	refused := filepath.Join(t.TempDir(), "refused")
	if out, err := backup(refused, "--token", made.Msg.GetSecret()); err == nil || !strings.Contains(out, "all tenants") {
		t.Errorf("a tenant's admin: %v, %s", err, out)
	}
	if left, err := os.ReadDir(filepath.Dir(refused)); err != nil || len(left) > 0 {
		t.Errorf("a backup that failed leaves %v, %v", left, err)
	}
	restored := filepath.Join(t.TempDir(), "policies")
	if out, err := recoverCommand(t, restored, "--backup", file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := policystore.Open(t.Context(), policystore.Config{Dir: restored})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := s.Get(t.Context(), "before", 0, policystore.Stale); err != nil {
		t.Errorf("what was there is not: %v", err)
	}
	if _, err := s.Get(t.Context(), "after", 0, policystore.Stale); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("what came later: %v", err)
	}
	if _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Errorf("the audit log: %v", err)
	}
}

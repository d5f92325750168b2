package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is at the socket's place and is no socket stays there.
func TestListenRemovesOnlySockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, 0o600); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if _, err := listenUnix("/tmp/"+strings.Repeat("a", 200), 0o600); err == nil {
		t.Error("a path that is too long is taken")
	}
}

func TestListenPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "s")
	l, err := listenUnix(path, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
}

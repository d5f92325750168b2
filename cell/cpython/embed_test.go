package cpython

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The generated headers are what their sources say. They are made in a copy: others may be compiling these.
func TestGeneratedHeadersAreCurrent(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	for _, g := range []struct{ command, header string }{{"embedguest.go", "guest_py.h"}, {"frozen_embed.go", "frozen_py.h"}} {
		before, err := os.ReadFile(g.header)
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command("go", "run", g.command)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", g.command, err, out)
		}
		after, err := os.ReadFile(filepath.Join(dir, g.header))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) {
			t.Errorf("%s was not current: commit what `make generate` writes", g.header)
		}
	}
}

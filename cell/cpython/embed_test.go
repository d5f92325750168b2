package cpython

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// The generated headers are what their sources say.
func TestGeneratedHeadersAreCurrent(t *testing.T) {
	for _, g := range []struct{ command, header string }{{"embedguest.go", "guest_py.h"}, {"frozen_embed.go", "frozen_py.h"}} {
		before, err := os.ReadFile(g.header)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "run", g.command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", g.command, err, out)
		}
		after, err := os.ReadFile(g.header)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) {
			t.Errorf("%s was not current: commit what `make generate` writes", g.header)
		}
	}
}

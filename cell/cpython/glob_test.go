//go:build cgo

package cpython

import (
	"os"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// The gate and the node match alike.
func FuzzGlob(f *testing.F) {
	vectors, err := os.ReadFile("../../kernel/policy/testdata/globs.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(vectors)) {
		if v := strings.Fields(line); len(v) == 3 && v[0] != "#" {
			f.Add(v[0], v[1])
		}
	}
	f.Add("/a/"+strings.Repeat("*a", 100), "/a/"+strings.Repeat("a", 4000))
	f.Fuzz(func(t *testing.T, glob, path string) {
		if glob == "" || path == "" {
			return
		}
		if got, want := globMatch(glob, path, false), policy.Match(glob, path); got != want {
			t.Errorf("%q of %q: the gate %t, the policy %t", glob, path, got, want)
		}
		if got, want := globMatch(glob, path, true), policy.Covers(glob, path); got != want {
			t.Errorf("%q of %q or above: the gate %t, the policy %t", glob, path, got, want)
		}
	})
}

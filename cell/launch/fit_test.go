package launch

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// What is at a policy's paths counts as it is when a cell starts, not as it was for the first.
func TestPathsAreLookedUpAgain(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	dir := t.TempDir() + "/later"
	spec := cell.Spec{Backend: cell.Process, Policy: &policy.Policy{Files: []policy.FileRule{{Path: dir, Access: policy.Read}}}}
	missing := func() bool {
		r, err := rule(spec, l.guard, l.watches)
		if err == nil {
			err = l.compile(spec, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(r.confined.gaps(stack.Landlock), func(gap string) bool { return strings.Contains(gap, dir+" is not there") })
	}
	if !missing() {
		t.Skip("Landlock, which would miss the directory, is not here")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the directory to be found", func() bool { return !missing() })
}

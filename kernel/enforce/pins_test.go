package enforce

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
)

// withBPFFS has a bpf file system of the test's own, or skips.
func withBPFFS(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Skipf("mount a bpf file system: %v", err)
	}
	before := bpfFS
	bpfFS = dir
	t.Cleanup(func() {
		bpfFS = before
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

// TestPins: programs are pinned while there is a node, and a dead one's pins are swept.
func TestPins(t *testing.T) {
	withBPFFS(t)
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	own := cgroup.OwnName(Name)
	left := filepath.Join(bpfFS, strings.Replace(own, fmt.Sprintf("-%d-", os.Getpid()), fmt.Sprintf("-%d-", dead.Process.Pid), 1))
	others := filepath.Join(bpfFS, "of-somebody")
	for _, dir := range []string{left, others} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	e, err := Open(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if e.Refused() != nil {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		t.Skip(e.Refused())
	}
	if pins, err := os.ReadDir(filepath.Join(bpfFS, own)); err != nil || len(pins) == 0 {
		t.Errorf("pinned: %d, %v", len(pins), err)
	}
	if !strings.Contains(e.Facts().Evidence, "pinned") {
		t.Errorf("evidence %q", e.Facts().Evidence)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if there, err := filepath.Glob(filepath.Join(bpfFS, Name+"-*")); err != nil || len(there) > 0 {
		t.Errorf("left: %q, %v", there, err)
	}
	if _, err := os.Stat(others); err != nil {
		t.Error(err)
	}
}

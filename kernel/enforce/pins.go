package enforce

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
)

// bpfFS is where systems have their bpf file system.
var bpfFS = "/sys/fs/bpf"

// pinDir is where this process pins the guard's programs, so that they stay attached when it
// is killed and its hosts live a moment longer. Without a bpf file system, or the right to use
// it, there is none.
func pinDir() string {
	var st unix.Statfs_t
	if unix.Statfs(bpfFS, &st) != nil || st.Type != unix.BPF_FS_MAGIC || unix.Access(bpfFS, unix.W_OK) != nil {
		return ""
	}
	return filepath.Join(bpfFS, cgroup.OwnName(Name))
}

// sweepPins removes what processes that are gone have pinned. Their hosts are gone, too.
func sweepPins() error {
	var failed error
	for _, name := range cgroup.Stale(bpfFS, Name) {
		dir := filepath.Join(bpfFS, name)
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
		if err = errors.Join(err, os.Remove(dir)); err != nil && !errors.Is(err, os.ErrNotExist) { // another node was faster
			failed = errors.Join(failed, fmt.Errorf("enforce: remove a dead node's pins: %w", err))
		}
	}
	return failed
}

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OwnName is the name of a tree that belongs to this process and goes with it: prefix, this PID
// namespace and the process's number in it.
func OwnName(prefix string) string { return ownName(prefix, os.Getpid()) }

func ownName(prefix string, pid int) string { return fmt.Sprintf("%s-%d-%d", prefix, namespace(), pid) }

// namespace tells this PID namespace from others on the machine; 0 where /proc does not.
func namespace() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
}

// SweepStale removes the trees that processes of this PID namespace made under their OwnName and
// left, as those do that are killed: with all groups in them, and what still runs there.
func SweepStale(ctx context.Context, prefix string) error {
	if err := checkName(prefix); err != nil {
		return err
	}
	mounts, err := Mounts()
	if err != nil {
		return err
	}
	stale := map[string]*Tree{}
	for _, m := range mounts {
		for _, parent := range (&Tree{}).parents(m) {
			for _, name := range Stale(parent, prefix) {
				t := stale[name]
				if t == nil {
					t = &Tree{options: Options{Name: name}}
					stale[name] = t
				}
				t.dirs = append(t.dirs, filepath.Join(parent, name))
				if m.Version == 2 {
					t.unified = filepath.Join(parent, name)
				}
			}
		}
	}
	var failed error
	for _, t := range stale {
		_, err := t.Sweep(ctx, nil)
		failed = errors.Join(failed, err, t.Close())
	}
	return failed
}

// Stale lists what lies in a directory under the OwnName of a process of this PID namespace that
// is gone.
func Stale(dir, prefix string) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // not for us to see
	}
	for _, e := range entries {
		digits, ours := strings.CutPrefix(e.Name(), fmt.Sprintf("%s-%d-", prefix, namespace()))
		pid, err := strconv.Atoi(digits)
		if !ours || err != nil || pid <= 0 || !e.IsDir() {
			continue
		}
		if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			names = append(names, e.Name())
		}
	}
	return names
}

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

	"github.com/pyisolate/pyisolate/internal/procstat"
)

// OwnName is the name of a tree that belongs to this process and goes with it: prefix, this PID
// namespace, the process's number in it and when it started. A number alone is another's some day: who removes
// what a process has left would remove, with what runs there, what that one has just made under the same name.
func OwnName(prefix string) string { return ownName(prefix, os.Getpid(), started(os.Getpid())) }

func ownName(prefix string, pid int, start uint64) string {
	return fmt.Sprintf("%s-%d-%d-%d", prefix, namespace(), pid, start)
}

// started is when a process did, in ticks since the machine's start; 0 where /proc does not say, or is of another
// PID namespace.
func started(pid int) uint64 {
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return 0
	}
	const at = 22 - 3 // of what is behind the name
	fields, err := procstat.Fields(pid)
	if err != nil || len(fields) <= at {
		return 0
	}
	start, err := strconv.ParseUint(fields[at], 10, 64)
	if err != nil {
		return 0
	}
	return start
}

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
		of, ours := strings.CutPrefix(e.Name(), fmt.Sprintf("%s-%d-", prefix, namespace()))
		number, start, _ := strings.Cut(of, "-") // an earlier version's have no start
		pid, err := strconv.Atoi(number)
		if !ours || err != nil || pid <= 0 || !e.IsDir() {
			continue
		}
		if gone(pid, start) {
			names = append(names, e.Name())
		}
	}
	return names
}

// gone says whether a process that started then is no more. Who has its number now is another.
func gone(pid int, start string) bool {
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return true
	}
	then, err := strconv.ParseUint(start, 10, 64)
	now := started(pid)
	return err == nil && then != 0 && now != 0 && now != then
}

package fabrictest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// identity of a file that programs are started from.
type identity struct{ device, inode uint64 }

func identify(path string) (identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, fmt.Errorf("fabrictest: %s has no inode", path)
	}
	return identity{s.Dev, s.Ino}, nil
}

// processesOf are the processes that run a program, by their ids: each node has a copy of the
// program of its own, and so a node's, and its cells', are told apart wherever they have got to.
// Zombies run nothing.
func processesOf(program identity) (pids []int, err error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("fabrictest: list processes: %w", err)
	}
	for _, one := range all {
		pid, err := strconv.Atoi(one.Name())
		if err != nil {
			continue
		}
		if runs, err := identify(filepath.Join("/proc", one.Name(), "exe")); err == nil && runs == program {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// describe is what a process is, for who looks for it.
func describe(pid int) string {
	arguments, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return fmt.Sprintf("%d (%s)", pid, strings.ReplaceAll(strings.TrimRight(string(arguments), "\x00"), "\x00", " "))
}

// signalAll sends a signal to processes, of which some may have ended meanwhile.
func signalAll(pids []int, s syscall.Signal) error {
	var failed []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			failed = append(failed, fmt.Errorf("fabrictest: send %s to %d: %w", s, pid, err))
		}
	}
	return errors.Join(failed...)
}

// copyProgram makes a node's own copy of the program.
func copyProgram(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("fabrictest: the program: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("fabrictest: a node's copy of the program: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("fabrictest: a node's copy of the program: %w", err)
	}
	return nil
}

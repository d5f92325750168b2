package policystore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// dirLock is a file that one process holds locked, and has its process id in.
type dirLock struct{ file *os.File }

func lockDir(path string) (*dirLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 20)) // only for the message
		return nil, errors.Join(fmt.Errorf("%w by process %s", ErrInUse, strings.TrimSpace(string(pid))), f.Close())
	}
	if gone(f, path) { // whoever had it has just removed it
		return nil, errors.Join(ErrInUse, f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &dirLock{f}, nil
}

// gone tells whether the file is no longer the one at path.
func gone(f *os.File, path string) bool {
	held, heldErr := f.Stat()
	there, thereErr := os.Stat(path)
	return heldErr != nil || thereErr != nil || !os.SameFile(held, there)
}

// release leaves the file: removing it would let two processes lock two files.
func (l *dirLock) release() error { return l.file.Close() }

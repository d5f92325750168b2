package policystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pyisolate/pyisolate/internal/durable"
)

// The log has all that the state does, on the disk, so the state's file need not be put there by each change. A process
// that dies leaves it as it was: the kernel has it. A machine that stops leaves anything, and so a mark says, beside a
// file that is being written to, since which start of the machine that is. A file from before another one is used if it
// is found sound, which says that it is the state of some moment; else it is made anew from the snapshots and the log.

// bootID is this start of the machine's, or nothing where the kernel does not say.
var bootID = func() []byte {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(id)
}

func (s *state) mark() string { return s.path + ".unsynced" }

// openLazy is openState, for a log that goes with it: what a machine that stopped has damaged is removed, and told of.
func openLazy(path string, l limits, lost func(error)) (*state, error) {
	s, err := openState(path, l)
	if errors.Is(err, ErrCorrupt) && (&state{path: path}).cut() {
		lost(err)
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		s, err = openState(path, l)
	}
	if err != nil {
		return nil, err
	}
	if err := s.becomeLazy(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// cut says whether the machine stopped while the file was written to.
func (s *state) cut() bool {
	since, err := os.ReadFile(s.mark())
	return err == nil && (len(since) == 0 || !bytes.Equal(since, bootID()))
}

// becomeLazy has changes from now on not be put on the disk at once.
func (s *state) becomeLazy() error {
	id := bootID()
	if len(id) == 0 {
		return nil // nobody could tell later what the machine did to it
	}
	if err := durable.WriteFile(s.mark(), id, 0o600); err != nil {
		return fmt.Errorf("mark %s: %w", s.path, err)
	}
	s.lazy = true
	s.db.NoSync = true
	return nil
}

// settle puts the file on the disk, whole.
func (s *state) settle() error {
	if !s.lazy {
		return nil
	}
	if err := s.db.Sync(); err != nil {
		return err
	}
	if err := os.Remove(s.mark()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

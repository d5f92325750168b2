package policystore

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
)

// smallDisk mounts a file system of a size that resize changes.
func smallDisk(t *testing.T, size string) (dir string, resize func(size string)) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, func(size string) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFull fills the disk: the process survives, nothing acknowledged is lost, and the
// store goes on, at the latest when it is opened again with room.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("it mounts a file system")
	}
	for size := 2500; size < 4000; size += 130 { // so that each file is the first that has no room
		t.Run(fmt.Sprint(size), func(t *testing.T) { fillDisk(t, fmt.Sprint(size, "k")) })
	}
}

func fillDisk(t *testing.T, size string) {
	dir, resize := smallDisk(t, size)
	s, err := Open(t.Context(), Config{Dir: dir, Validate: anything})
	if err != nil {
		t.Fatal(err)
	}
	text := func(i int) []byte { return append(make([]byte, 100_000), fmt.Sprint(i)...) }
	put := func(i int) error {
		_, err := s.Put(t.Context(), editor, PutRequest{Name: "etl", Text: text(i), Expect: number(uint64(i))})
		return err
	}
	made := 0
	for err = put(0); err == nil; err = put(made) {
		made++
	}
	t.Logf("after %d changes: %v", made, err)
	if made < 3 {
		t.Errorf("only %d changes were made", made)
	}
	stopped := errors.Is(err, ErrFailed)
	if !stopped && !errors.Is(err, ErrUncertain) {
		t.Errorf("the disk is full: %v", err)
	}
	for range 20 {
		err := put(made)
		if stopped && !errors.Is(err, ErrFailed) {
			t.Errorf("it had stopped: %v", err)
		}
	}
	resize("30m")
	if stopped {
		mustClose(t, s)
		s = mustOpen(t, Config{Dir: dir})
	}
	defer mustClose(t, s)
	await.That(t, "the store to go on", func() bool {
		err := put(made)
		return err == nil || errors.Is(err, ErrConflict) // the one that failed was made after all
	})
	if v, err := s.Get(t.Context(), "etl", 0, Linearizable); err != nil || v.Number != uint64(made+1) {
		t.Errorf("version %d, %v; %d were acknowledged", v.Number, err, made)
	}
	if _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}

// Whoever calls while the log cannot be written is told so, with the disk's reason.
func TestDiskFailing(t *testing.T) {
	s := openLimited(t, Config{}, standardLimits)
	s.diskFailing(unix.ENOSPC)
	if err := s.lead.broken(); !errors.Is(err, ErrFailed) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v", err)
	}
	s.diskFailing(nil)
	if err := s.lead.broken(); err != nil {
		t.Errorf("when it can again: %v", err)
	}
}

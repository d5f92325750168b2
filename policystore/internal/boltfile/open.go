package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/failpoint"
)

// ErrLocked: another process has the file open.
var ErrLocked = errors.New("another process has it open")

// PageSize of the files, in bytes, whatever the machine's is.
const PageSize = 4096

// growBy is by how much a file grows, in bytes.
const growBy = 4 << 20

const lockTimeout = 100 * time.Millisecond

var (
	madePoint    = failpoint.New("boltfile.made")
	renamedPoint = failpoint.New("boltfile.renamed")
	placedPoint  = failpoint.New("boltfile.placed")
)

// Open checks and opens the file at path. When there is none it makes one and runs
// initialise in its first transaction. minMap is how much address space to map at least, in
// bytes: a write that needs more waits for readers. Damage is a [*Damage].
func Open(path string, minMap int, initialise func(*bolt.Tx) error) (*bolt.DB, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, initialise); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	}
	if err := checkFile(path); err != nil {
		return nil, err
	}
	return open(path, minMap)
}

func open(path string, minMap int) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockTimeout, PageSize: PageSize, InitialMmapSize: minMap,
		FreelistType: bolt.FreelistMapType, NoStatistics: true,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w", path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.AllocSize = growBy
	return db, nil
}

func create(path string, initialise func(*bolt.Tx) error) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := open(temporary, 0)
	if err != nil {
		return err
	}
	err = errors.Join(db.Update(initialise), db.Close())
	if err != nil {
		return err
	}
	madePoint.Hit()
	return Replace(temporary, path)
}

// Replace renames a file that is on the disk into place, for good.
func Replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	renamedPoint.Hit()
	if err := SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	placedPoint.Hit()
	return nil
}

// SyncDir puts a directory's entries on the disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkFile checks a file under bbolt's own lock.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return fmt.Errorf("open %s: %w", path, ErrLocked)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return Check(f, info.Size(), path)
}

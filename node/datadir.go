package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/gofrs/flock"

	"github.com/pyisolate/pyisolate/internal/durable"
)

// dataFormat is the version of what is in data directories. A change that an older program
// would read wrongly raises it; each part's files have versions of their own beside it.
const dataFormat = 1

// Files of a data directory.
const (
	lockFile    = "lock"    // held by the node; it says which
	pidFile     = "pid"     // its process, while it runs
	versionFile = "version" // "pyisolate-data FORMAT, last opened by VERSION"
)

// dataDir is a data directory that is this process's.
type dataDir struct {
	path string
	lock *flock.Flock
}

// openDataDir makes the directory this process's, if it may be. At says where the node listens.
func openDataDir(path, at, version string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w; make it, or name another with data", ErrData, err)
	}
	if err := checkOwner(path); err != nil {
		return nil, err
	}
	d, err := lockData(path, at)
	if err != nil {
		return nil, err
	}
	err = d.checkFormat(version)
	if err == nil {
		err = os.WriteFile(filepath.Join(path, pidFile), fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// checkOwner refuses a directory that somebody else could change under the node.
func checkOwner(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	own := os.Geteuid()
	stat, known := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%w: %s is no directory; name another with data", ErrData, path)
	case known && int(stat.Uid) != own:
		return fmt.Errorf("%w: %s belongs to user %d, and this is user %d; run the node as that user, or: chown -R %d %s", ErrData, path, stat.Uid, own, own, path)
	case info.Mode()&0o022 != 0:
		return fmt.Errorf("%w: %s can be changed by others than its owner (%s); do: chmod 0700 %s", ErrData, path, info.Mode().Perm(), path)
	}
	return nil
}

// lockData says whose the directory is if it is another's.
func lockData(dir, at string) (*dataDir, error) {
	path := filepath.Join(dir, lockFile)
	lock := flock.New(path, flock.SetPermissions(0o600))
	ours, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("%w: lock it: %w", ErrData, err)
	}
	if !ours {
		holder, _ := os.ReadFile(path)
		return nil, fmt.Errorf("%s is %w by the node with %s; end it, or give another --data", dir, ErrInUse, printable(string(holder)))
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "pid %d, on %s", os.Getpid(), at), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: lock it: %w", ErrData, err), lock.Unlock())
	}
	return &dataDir{dir, lock}, nil
}

// checkFormat refuses what a newer program has written, and notes that this one has been here.
func (d *dataDir) checkFormat(version string) error {
	path := filepath.Join(d.path, versionFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // new, or from before there was such a file
	case err != nil:
		return fmt.Errorf("%w: %w", ErrData, err)
	default:
		format, by, err := readFormat(string(text))
		if err != nil {
			return fmt.Errorf("%w: %s: %w; restore it from a backup", ErrData, path, err)
		}
		if format > dataFormat {
			return fmt.Errorf("%w: %s has format %d, written by version %s; this is version %s, which reads formats up to %d: run the newer one, or restore a backup",
				ErrData, d.path, format, printable(by), version, dataFormat)
		}
	}
	return replaceFile(path, fmt.Sprintf("pyisolate-data %d, last opened by %s\n", dataFormat, version))
}

// readFormat reads a version file.
func readFormat(text string) (format uint64, by string, err error) {
	rest, ok := strings.CutPrefix(text, "pyisolate-data ")
	number, by, comma := strings.Cut(strings.TrimSuffix(rest, "\n"), ", last opened by ")
	if !ok || !comma {
		return 0, "", errors.New("it does not say a version")
	}
	format, err = strconv.ParseUint(number, 10, 32)
	if err != nil || format == 0 {
		return 0, "", fmt.Errorf("%q is no format", number)
	}
	return format, by, nil
}

// replaceFile writes a file that is there as a whole, or as it was.
func replaceFile(path, text string) error {
	if err := durable.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("%w: %w", ErrData, err)
	}
	return nil
}

func (d *dataDir) close() error {
	err := os.Remove(filepath.Join(d.path, pidFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, d.lock.Unlock())
}

// printable is text of a file's in a line of ours.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

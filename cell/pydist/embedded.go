package pydist

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// EmbeddedVersion is the CPython in the binary. It changes together with
// embeddedModule; a test compares both with go.mod and with the library itself.
const EmbeddedVersion = "3.14.6"

const (
	embeddedModule = "github.com/kluctl/go-embed-python@v0.0.0-3.14.6-20260610-1"
	embeddedMajor  = 3
	embeddedMinor  = 14

	// layoutRevision goes up when what we make of the unpacked files changes
	// (what is left out, what is compiled), so that older caches are not used.
	layoutRevision = "1"

	embeddedLib    = "lib/libpython3.14.so.1.0"
	embeddedExe    = "bin/python3.14"
	embeddedStdlib = "lib/python3.14"
)

// lockPoll is how often a waiter looks whether another process has finished.
const lockPoll = 50 * time.Millisecond

// cacheName is the directory name of the embedded Python in a cache: the hash
// keeps builds apart that share a version.
func cacheName() string {
	id := strings.Join([]string{embeddedModule, runtime.GOOS, runtime.GOARCH, layoutRevision}, "|")
	sum := sha256.Sum256([]byte(id))
	return "python-" + EmbeddedVersion + "-" + hex.EncodeToString(sum[:6])
}

func resolveEmbedded(ctx context.Context, root string, progress func(done, total int64)) (Dist, error) {
	home := filepath.Join(root, cacheName())
	m, err := openCache(home)
	if errors.Is(err, errForeign) {
		return Dist{}, fmt.Errorf("%w: %w", ErrCache, err)
	}
	if err != nil {
		m, err = install(ctx, home, progress)
	}
	if err != nil {
		return Dist{}, fmt.Errorf("%w: unpack python %s into %s: %w; free or repair that place, or set %s to a writable directory",
			ErrCache, EmbeddedVersion, root, err, CacheEnv)
	}
	return Dist{
		Home:     home,
		Lib:      filepath.Join(home, embeddedLib),
		Exe:      filepath.Join(home, embeddedExe),
		Version:  EmbeddedVersion,
		Major:    embeddedMajor,
		Minor:    embeddedMinor,
		Stdlib:   filepath.Join(home, embeddedStdlib),
		SHA256:   m.hashOf(embeddedLib),
		Embedded: true,
	}, nil
}

// errForeign: somebody else could have put code into the directory. It is never
// repaired: what we would write there could be replaced just as well.
var errForeign = errors.New("not ours alone to write")

// openCache returns the manifest of a complete, undamaged cache.
func openCache(home string) (manifest, error) {
	var st unix.Stat_t
	if err := unix.Lstat(home, &st); err != nil {
		return manifest{}, &fs.PathError{Op: "lstat", Path: home, Err: err}
	}
	uid := os.Geteuid()
	if (st.Uid != 0 && int(st.Uid) != uid) || (st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o022 != 0) {
		return manifest{}, fmt.Errorf("%s (owner %d, mode %04o) is %w: remove it, or set %s to a directory of your own",
			home, st.Uid, st.Mode&0o7777, errForeign, CacheEnv)
	}
	m, err := readManifest(home)
	if err != nil {
		return manifest{}, err
	}
	if m.hashOf(embeddedLib) == "" {
		return manifest{}, fmt.Errorf("manifest of %s does not list %s", home, embeddedLib)
	}
	return m, m.check(home)
}

// install unpacks into home while holding the lock beside it. Whoever waited for
// the lock finds the work done.
func install(ctx context.Context, home string, progress func(done, total int64)) (m manifest, err error) {
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return manifest{}, err
	}
	lock := flock.New(home + ".lock")
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return manifest{}, fmt.Errorf("lock %s.lock: %w", home, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()

	if m, err := openCache(home); err == nil {
		return m, nil
	}
	if err := removeLeftovers(home); err != nil {
		return manifest{}, err
	}
	if err := build(ctx, home, progress); err != nil {
		return manifest{}, err
	}
	return openCache(home)
}

// temporary is the start of the names of everything half-made beside home.
func temporary(home string) string { return filepath.Base(home) + ".tmp-" }

// removeLeftovers deletes what killed processes left. The lock must be held: only
// its holder makes such directories, so none is in use.
func removeLeftovers(home string) error {
	entries, err := os.ReadDir(filepath.Dir(home))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporary(home)) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(filepath.Dir(home), e.Name())); err != nil {
			return fmt.Errorf("remove the leftover of an earlier run: %w", err)
		}
	}
	return nil
}

// build makes the complete directory in a temporary one, then renames it.
func build(ctx context.Context, home string, progress func(done, total int64)) (err error) {
	parent := filepath.Dir(home)
	tmp, err := os.MkdirTemp(parent, temporary(home))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	work := filepath.Join(tmp, "python")
	for _, step := range []func() error{
		func() error { return unpack(ctx, work, progress) },
		func() error { return prune(work) },
		func() error { return compileStdlib(ctx, work, home) },
		func() error { return writeManifest(work) },
		func() error { return syncFilesystem(work) },
		func() error { return swap(work, home) },
		func() error { return syncFilesystem(parent) },
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	if progress != nil {
		progress(unpackedBytes, unpackedBytes)
	}
	return nil
}

// swap puts work in home's place. A damaged home is first moved to where work
// came from, since a rename cannot replace a directory with files in it;
// processes that have its files open or mapped keep them.
func swap(work, home string) error {
	err := os.Rename(home, work+".damaged")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move the damaged cache aside: %w", err)
	}
	return os.Rename(work, home)
}

// syncFilesystem makes the files durable before the rename that vouches for
// them; one call is far cheaper than an fsync for each of a thousand files.
func syncFilesystem(dir string) (err error) {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", dir, err)
	}
	return nil
}

package pydist

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// PythonEnv names the environment variable that stands for --python.
const PythonEnv = "PYISOLATE_PYTHON"

// CacheEnv names the environment variable that overrides the cache directory.
const CacheEnv = "PYISOLATE_CACHE"

// Errors a caller can act on.
var (
	// ErrUnsuitable: the Python that was asked for cannot run cells.
	ErrUnsuitable = errors.New("unsuitable python")
	// ErrCache: the embedded Python could not be put into, or trusted in, its
	// cache directory.
	ErrCache = errors.New("python cache")
)

// Dist is one CPython installation, checked and ready to be loaded by a host.
// All paths are absolute.
type Dist struct {
	// Home is the installation prefix, as in PYTHONHOME.
	Home string `json:"home"`
	// Lib is the shared libpython to dlopen.
	Lib string `json:"lib"`
	// Exe is the interpreter that belongs to Lib, "" when there is none.
	Exe string `json:"exe,omitempty"`
	// Version is the full version, such as 3.14.6, or only 3.14 when the
	// library does not tell more.
	Version string `json:"version"`
	Major   int    `json:"major"`
	Minor   int    `json:"minor"`
	// FreeThreaded is set for free-threaded builds (3.14t), which Resolve refuses
	// today.
	FreeThreaded bool `json:"free_threaded"`
	// Stdlib is the directory of the standard library.
	Stdlib string `json:"stdlib"`
	// SHA256 is the hash of the file Lib, in hex. Whatever depends on the
	// exact layout of a build must compare it.
	SHA256 string `json:"sha256"`
	// Embedded is set when this is the build that came with the binary.
	Embedded bool `json:"embedded"`
}

// Options choose the Python. The zero value is the embedded one, in the user's
// cache directory, without progress.
type Options struct {
	// Python is a libpython .so, a python executable or an installation
	// prefix. "" takes [PythonEnv]; when that is empty too, the embedded
	// Python.
	Python string
	// CacheDir is where the embedded Python is unpacked. "" takes
	// [CacheEnv], then pyisolate/ in the user's cache directory.
	CacheDir string
	// Progress is called while the embedded Python is being unpacked, never
	// otherwise, from one goroutine at a time: first with done 0, last with
	// done equal to total (bytes). nil reports nothing. See [TerminalProgress].
	Progress func(done, total int64)
}

// Resolve returns the Python that opts name, unpacking the embedded one when the
// cache lacks it or is damaged. Cancelling ctx ends a wait for another process
// that is unpacking. Errors match [ErrUnsuitable] or [ErrCache].
func Resolve(ctx context.Context, opts Options) (Dist, error) {
	chosen := opts.Python
	if chosen == "" {
		chosen = os.Getenv(PythonEnv)
	}
	if chosen != "" {
		d, err := resolveCustom(chosen)
		if err != nil {
			return Dist{}, fmt.Errorf("%w: %w; pass another --python PATH or leave it out to use the embedded %s",
				ErrUnsuitable, err, EmbeddedVersion)
		}
		return d, nil
	}
	root, err := cacheRoot(opts.CacheDir)
	if err != nil {
		return Dist{}, err
	}
	return resolveEmbedded(ctx, root, opts.Progress)
}

func cacheRoot(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv(CacheEnv)
	}
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: find the user's cache directory: %w; set %s to a writable directory",
				ErrCache, err, CacheEnv)
		}
		dir = filepath.Join(user, "pyisolate")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("%w: make %s absolute: %w", ErrCache, dir, err)
	}
	return abs, nil
}

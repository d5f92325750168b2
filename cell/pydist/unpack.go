package pydist

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/kluctl/go-embed-python/python"
)

// progressEvery is how often the size on disk is looked at while unpacking.
const progressEvery = 100 * time.Millisecond

// unpack writes the embedded files to dir. The module's own extraction neither
// checks what it finds nor stops on a context (it takes a second or two), which
// is why it only ever sees a fresh temporary directory.
func unpack(ctx context.Context, dir string, progress func(done, total int64)) error {
	stop := watchSize(dir, progress)
	defer stop()
	if _, err := python.NewEmbeddedPythonWithTmpDir(dir, false); err != nil {
		return fmt.Errorf("write the embedded files: %w", err)
	}
	return ctx.Err()
}

// watchSize reports the growing size of dir until the returned function is
// called, which waits for the last report.
func watchSize(dir string, progress func(done, total int64)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	progress(0, unpackedBytes)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				// The last word, done == total, is for the finished cache.
				progress(min(sizeOf(dir), unpackedBytes-1), unpackedBytes)
			}
		}
	}()
	return func() { close(quit); <-done }
}

// sizeOf adds up the regular files that can be seen right now.
func sizeOf(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil //nolint:nilerr // a file that is just appearing counts next time
		}
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}

// unneeded is what no cell can use: Tcl/Tk (there is no display), the test
// extensions (they reach into the interpreter's memory), build leftovers, and
// installers, which need the network and a writable prefix.
var unneeded = []string{
	"bin/idle*", "bin/pip*", "bin/pydoc*", "bin/python*-config", "bin/python",
	"lib/itcl*", "lib/libtcl*", "lib/thread*", "lib/tcl*", "lib/tk*", "lib/libpython3.so",
	embeddedStdlib + "/config-*", embeddedStdlib + "/ensurepip", embeddedStdlib + "/idlelib",
	embeddedStdlib + "/site-packages", embeddedStdlib + "/test", embeddedStdlib + "/tkinter",
	embeddedStdlib + "/turtle*",
	embeddedStdlib + "/lib-dynload/_tkinter*", embeddedStdlib + "/lib-dynload/_test*",
	embeddedStdlib + "/lib-dynload/_ctypes_test*",
}

// links are the second names that the module writes as full copies.
var links = map[string]string{
	"bin/python3":          "python3.14",
	"lib/libpython3.14.so": "libpython3.14.so.1.0",
}

// prune removes what no cell needs and turns copies into the links they were.
func prune(dir string) error {
	for _, pattern := range unneeded {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return fmt.Errorf("pattern %s: %w", pattern, err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	for name, target := range links {
		path := filepath.Join(dir, name)
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	return nil
}

// compileStdlib writes the .pyc files, because a cell may not: hosts see the
// cache read-only, and without them every interpreter would compile what it
// imports anew (importing asyncio takes twice as long). They are not compared
// with their sources at run time; the manifest vouches for both.
// home is the final place, for the file names in tracebacks.
func compileStdlib(ctx context.Context, dir, home string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, embeddedExe), "-I", "-m", "compileall", "-q",
		"-j", strconv.Itoa(runtime.NumCPU()), "--invalidation-mode", "unchecked-hash",
		"-s", dir, "-p", home, filepath.Join(dir, embeddedStdlib))
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the standard library (is the cache mounted noexec?): %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

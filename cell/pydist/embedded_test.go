package pydist

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// embeddedDist returns the embedded Python in a cache that no test changes.
func embeddedDist(tb testing.TB) Dist {
	tb.Helper()
	tb.Setenv(PythonEnv, "")
	d, err := Resolve(tb.Context(), Options{CacheDir: sharedCache})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// copyDist returns a cache with a private copy of the embedded Python.
func copyDist(t *testing.T) (root string, d Dist) {
	t.Helper()
	d = embeddedDist(t)
	root = t.TempDir()
	cp := exec.CommandContext(t.Context(), "cp", "-a", d.Home, root)
	if out, err := cp.CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	d, unpacked := resolveCounting(t, root)
	if unpacked != 0 {
		t.Fatal("an exact copy of a cache was unpacked again")
	}
	return root, d
}

func resolveCounting(t *testing.T, root string) (d Dist, unpacked int) {
	t.Helper()
	d, err := Resolve(t.Context(), Options{CacheDir: root, Progress: func(done, _ int64) {
		if done == 0 {
			unpacked++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d, unpacked
}

func TestEmbeddedIsComplete(t *testing.T) {
	d := embeddedDist(t)
	if !d.Embedded || d.Major != 3 || d.Minor != 14 || d.Version != EmbeddedVersion || d.FreeThreaded {
		t.Errorf("unexpected description: %+v", d)
	}
	lib, err := inspectLibrary(d.Lib)
	if err != nil {
		t.Fatal(err)
	}
	if lib.version != EmbeddedVersion {
		t.Errorf("the library says %s, EmbeddedVersion is %s", lib.version, EmbeddedVersion)
	}
	if sum, err := hashFile(d.Lib); err != nil || sum != d.SHA256 {
		t.Errorf("SHA256 = %s, the file has %s, %v", d.SHA256, sum, err)
	}
	run := exec.CommandContext(t.Context(), d.Exe, "-I", "-B", "-c",
		"import asyncio, json, sys; print(sys.version.split()[0], json.__cached__)")
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if version, cached, _ := strings.Cut(strings.TrimSpace(string(out)), " "); version != EmbeddedVersion {
		t.Errorf("the interpreter says %s", out)
	} else if _, err := os.Stat(cached); err != nil {
		t.Errorf("the standard library is not compiled: %v", err)
	}
	for _, gone := range []string{"lib/libtcl9.0.so", embeddedStdlib + "/idlelib", "bin/pip"} {
		if _, err := os.Lstat(filepath.Join(d.Home, gone)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was not left out: %v", gone, err)
		}
	}
}

func TestUnpackedOnceByManyAtOnce(t *testing.T) {
	t.Setenv(PythonEnv, "")
	root := t.TempDir()
	var unpacked atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := Resolve(t.Context(), Options{CacheDir: root, Progress: func(done, _ int64) {
				if done == 0 {
					unpacked.Add(1)
				}
			}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			out, err := childCommand(t.Context(), root).CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("ready")) {
				t.Errorf("child: %v: %s", err, out)
			}
			if bytes.Contains(out, []byte("unpacking")) {
				unpacked.Add(1)
			}
		})
	}
	wg.Wait()
	if n := unpacked.Load(); n != 1 {
		t.Errorf("unpacked %d times, want once", n)
	}
	wantClean(t, root)
}

func childCommand(ctx context.Context, cache string) *exec.Cmd {
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+cache)
	return child
}

// wantClean fails when a cache holds more than one Python and its lock.
func wantClean(t *testing.T, root string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != cacheName() && e.Name() != cacheName()+".lock" {
			t.Errorf("leftover in the cache: %s", e.Name())
		}
	}
}

func TestKilledWhileUnpacking(t *testing.T) {
	if testing.Short() {
		t.Skip("unpacks once more: left to the run without -short")
	}
	t.Setenv(PythonEnv, "")
	root := t.TempDir()
	child := childCommand(t.Context(), root)
	child.Env = append(child.Env, halfEnv+"=1")
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	for _, want := range []string{"unpacking\n", "half-way\n"} {
		if line, err := out.ReadString('\n'); err != nil || line != want {
			t.Fatalf("child said %q, %v", line, err)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed: reports nothing else
	if left, _ := filepath.Glob(filepath.Join(root, "*.tmp-*")); len(left) == 0 {
		t.Fatal("the child was not killed half-way: no temporary directory")
	}
	if _, unpacked := resolveCounting(t, root); unpacked != 1 {
		t.Errorf("unpacked %d times after the kill, want once", unpacked)
	}
	wantClean(t, root)
}

func TestCacheOthersCanWriteIsRefused(t *testing.T) {
	root, d := copyDist(t)
	if err := os.Chmod(d.Home, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := Resolve(t.Context(), Options{CacheDir: root})
	if !errors.Is(err, ErrCache) || !strings.Contains(err.Error(), "mode 0777") || !strings.Contains(err.Error(), CacheEnv) {
		t.Errorf("got %v", err)
	}
}

func TestUnusableCacheDirectory(t *testing.T) {
	t.Setenv(PythonEnv, "")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	readOnly := t.TempDir()
	if err := os.Chmod(readOnly, 0o555); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file": file, "read-only": readOnly} {
		t.Run(name, func(t *testing.T) {
			asNobody(t, func() {
				_, err := Resolve(t.Context(), Options{CacheDir: dir})
				if !errors.Is(err, ErrCache) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), CacheEnv) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// asNobody runs f without root's power to ignore file permissions.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := unix.SetfsuidRetUid(0); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

func TestWaitForLockEndsWithContext(t *testing.T) {
	t.Setenv(PythonEnv, "")
	root := t.TempDir()
	held, err := os.Create(filepath.Join(root, cacheName()+".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close() //nolint:errcheck // a test's lock
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*lockPoll)
	defer cancel()
	if _, err := Resolve(ctx, Options{CacheDir: root}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCacheDirectoryFromEnvironment(t *testing.T) {
	t.Setenv(CacheEnv, "/x/y")
	if got, err := cacheRoot(""); got != "/x/y" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv(CacheEnv, "")
	t.Setenv("XDG_CACHE_HOME", "/home/u/.cache")
	if got, err := cacheRoot(""); got != "/home/u/.cache/pyisolate" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func BenchmarkResolveWarm(b *testing.B) {
	opts := Options{CacheDir: filepath.Dir(embeddedDist(b).Home)}
	for b.Loop() {
		if _, err := Resolve(b.Context(), opts); err != nil {
			b.Fatal(err)
		}
	}
}

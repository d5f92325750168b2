package pydist

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDamageIsRepaired(t *testing.T) {
	if testing.Short() {
		t.Skip("unpacks once more: left to the run without -short")
	}
	root, d := copyDist(t)
	flipByte(t, d.Lib)
	repaired, unpacked := resolveCounting(t, root)
	if unpacked != 1 {
		t.Errorf("unpacked %d times, want once", unpacked)
	}
	if sum, err := hashFile(repaired.Lib); err != nil || sum != d.SHA256 {
		t.Errorf("libpython has %s, %v; want %s", sum, err, d.SHA256)
	}
	wantClean(t, root)
}

func TestDamageIsSeen(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, d Dist){
		"a byte of libpython": func(t *testing.T, d Dist) { flipByte(t, d.Lib) },
		"a byte of libpython with its old time": func(t *testing.T, d Dist) {
			info, err := os.Stat(d.Lib)
			if err != nil {
				t.Fatal(err)
			}
			flipByte(t, d.Lib)
			if err := os.Chtimes(d.Lib, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		},
		"a missing module": func(t *testing.T, d Dist) { remove(t, filepath.Join(d.Stdlib, "abc.py")) },
		"a manifest byte":  func(t *testing.T, d Dist) { flipByte(t, filepath.Join(d.Home, manifestName)) },
		"no manifest":      func(t *testing.T, d Dist) { remove(t, filepath.Join(d.Home, manifestName)) },
		"a file turned into a link": func(t *testing.T, d Dist) {
			remove(t, d.Exe)
			if err := os.Symlink("/bin/true", d.Exe); err != nil {
				t.Fatal(err)
			}
		},
		"another link": func(t *testing.T, d Dist) {
			remove(t, filepath.Join(d.Home, "bin/python3"))
			if err := os.Symlink("/bin/true", filepath.Join(d.Home, "bin/python3")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, d := copyDist(t)
			damage(t, d)
			if _, err := openCache(d.Home); err == nil {
				t.Error("the damage was not seen")
			}
		})
	}
}

func TestSwapReplacesAnything(t *testing.T) {
	root := t.TempDir()
	home, work := filepath.Join(root, "home"), filepath.Join(root, "work")
	for name, occupy := range map[string]func() error{
		"nothing":     func() error { return nil },
		"a file":      func() error { return os.WriteFile(home, nil, 0o600) },
		"a directory": func() error { return os.MkdirAll(filepath.Join(home, "old"), 0o750) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := errors.Join(os.RemoveAll(home), os.RemoveAll(work+".damaged"), occupy()); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(work, "new"), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := swap(work, home); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(home, "new")); err != nil {
				t.Error(err)
			}
		})
	}
}

func flipByte(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 2000); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, 2000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A restored backup has new stamps and old content: it is hashed once, not
// unpacked, and fast again afterwards.
func TestNewStampsAreLearned(t *testing.T) {
	root, d := copyDist(t)
	when := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(d.Lib, when, when); err != nil {
		t.Fatal(err)
	}
	if _, unpacked := resolveCounting(t, root); unpacked != 0 {
		t.Error("an undamaged library was unpacked again")
	}
	m, err := readManifest(d.Home)
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.Open(d.Home)
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close() //nolint:errcheck // only read
	now, err := stampAt(home, embeddedLib)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.files {
		if f.path == embeddedLib && f.stamp != now {
			t.Errorf("manifest has stamp %v, the file %v", f.stamp, now)
		}
	}
}

package node

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestDataDirectory(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		says    string // "": it is taken
	}{
		{"a new one", func(*testing.T, string) {}, ""},
		{"one that all may write", func(t *testing.T, dir string) { chmod(t, dir, 0o777) }, "chmod 0700"},
		{"one that a group may write", func(t *testing.T, dir string) { chmod(t, dir, 0o770) }, "chmod 0700"},
		{"one that all may look into", func(t *testing.T, dir string) { chmod(t, dir, 0o755) }, ""},
		{"another user's", func(t *testing.T, dir string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a directory away")
			}
			if err := os.Chown(dir, 4242, 4242); err != nil {
				t.Fatal(err)
			}
		}, "belongs to user 4242"},
		{"of a newer program", func(t *testing.T, dir string) { write(t, dir, "pyisolate-data 2, last opened by v9\n") }, "written by version v9; this is version v1"},
		{"of this program", func(t *testing.T, dir string) { write(t, dir, "pyisolate-data 1, last opened by v1\n") }, ""},
		{"damaged", func(t *testing.T, dir string) { write(t, dir, "\x00\x00") }, "restore it from a backup"},
		{"without a version", func(t *testing.T, dir string) { write(t, dir, "pyisolate-data 0, last opened by v1") }, "is no format"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			chmod(t, dir, 0o700)
			c.prepare(t, dir)
			d, err := openDataDir(dir, "/run/s", "v1")
			if c.says != "" {
				if !errors.Is(err, ErrData) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if pid, err := os.ReadFile(filepath.Join(dir, pidFile)); err != nil || string(pid) != strconv.Itoa(os.Getpid())+"\n" {
				t.Errorf("the pid file says %q, %v", pid, err)
			}
			if _, err := openDataDir(dir, "/run/other", "v1"); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "on /run/s") {
				t.Errorf("a second node: %v", err)
			}
			if err := d.close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, pidFile)); err == nil {
				t.Error("the pid file outlives the node")
			}
			if text, err := os.ReadFile(filepath.Join(dir, versionFile)); err != nil || string(text) != "pyisolate-data 1, last opened by v1\n" {
				t.Errorf("the version file says %q, %v", text, err)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, versionFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzReadFormat(f *testing.F) {
	for _, seed := range []string{"pyisolate-data 1, last opened by v1\n", "pyisolate-data 4294967296, last opened by ", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if format, _, err := readFormat(text); err == nil && format == 0 {
			t.Errorf("%q is format 0", text)
		}
	})
}

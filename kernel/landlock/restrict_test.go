package landlock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// canaries are files that a restricted thread must not read or change. What it could

// read is judged by the content it got, what it could change by what is there after.

type canaries struct{ open, closed string }

const (
	secret  = "the secret"
	content = "public"
)

func newCanaries(t *testing.T) canaries {
	t.Helper()
	dir := t.TempDir()
	c := canaries{dir + "/open", dir + "/closed"}
	for _, d := range []string{c.open, c.closed, dir + "/open2"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{c.open + "/file": content, c.closed + "/file": secret, dir + "/open2/file": secret} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(c.closed+"/file", c.open+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(c.closed, c.open+"/dirlink"); err != nil {
		t.Fatal(err)
	}
	return c
}

// intact fails the test unless what is closed is as it was.

func (c canaries) intact(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(c.closed)
	if err != nil || len(entries) != 1 {
		t.Errorf("the closed directory has %v (%v)", entries, err)
	}
	if data, err := os.ReadFile(c.closed + "/file"); err != nil || string(data) != secret {
		t.Errorf("the closed file has %q (%v)", data, err)
	}
}

// restricted runs f on a thread with the ruleset of p.

func restricted(t testing.TB, p policy.Policy, f func() error) {
	t.Helper()
	s, _, err := Compile(p, abiHere(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	err = osthread.Run(func() error {
		if err := s.Restrict(); err != nil {
			return err
		}
		return f()
	})
	if err != nil {
		t.Error(err)
	}
}

func TestReading(t *testing.T) {
	c := newCanaries(t)
	escapes := map[string]string{
		"directly":           c.closed + "/file",
		"by dots":            c.open + "/../closed/file",
		"by a link":          c.open + "/link",
		"by a linked parent": c.open + "/dirlink/file",
		"by a like name":     c.open + "2/file",
		"by its descriptors": "/proc/self/root" + c.closed + "/file",
	}
	restricted(t, policy.Policy{Files: []policy.FileRule{{Path: c.open, Access: policy.Read}, {Path: "/proc", Access: policy.Read}}}, func() error {
		if data, err := os.ReadFile(c.open + "/file"); string(data) != content {
			return fmt.Errorf("what is permitted: %q, %w", data, err)
		}
		for how, path := range escapes {
			if data, err := os.ReadFile(path); strings.Contains(string(data), secret) || !errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("%s: %q, %w", how, data, err)
			}
		}
		if _, err := os.ReadDir(c.closed); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("list the closed directory: %w", err)
		}
		return nil
	})
	if data, err := os.ReadFile(c.closed + "/file"); string(data) != secret {
		t.Errorf("another thread: %q, %v", data, err)
	}
}

func TestWriting(t *testing.T) {
	abi := abiHere(t, 1)
	c := newCanaries(t)
	rules := []policy.FileRule{{Path: c.open, Access: policy.Read | policy.Write}, {Path: c.closed, Access: policy.Read}}
	escapes := map[string]func() error{
		"write":             func() error { return os.WriteFile(c.closed+"/file", []byte("x"), 0o644) },
		"append":            func() error { return openFor(c.closed+"/file", unix.O_WRONLY|unix.O_APPEND) },
		"make":              func() error { return os.WriteFile(c.closed+"/new", nil, 0o644) },
		"make without name": func() error { return openFor(c.closed, unix.O_TMPFILE|unix.O_WRONLY) },
		"remove":            func() error { return os.Remove(c.closed + "/file") },
		"rename in":         func() error { return os.Rename(c.open+"/file", c.closed+"/file") },
		"rename out":        func() error { return os.Rename(c.closed+"/file", c.open+"/out") },
		"exchange": func() error {
			return unix.Renameat2(-1, c.open+"/file", -1, c.closed+"/file", unix.RENAME_EXCHANGE)
		},
		"hard link in":       func() error { return os.Link(c.open+"/file", c.closed+"/hard") },
		"symbolic link":      func() error { return os.Symlink("/", c.closed+"/soft") },
		"symbolic link here": func() error { return os.Symlink("file", c.open+"/soft") },
		"make a directory":   func() error { return os.Mkdir(c.closed+"/dir", 0o755) },
		"write by a link":    func() error { return os.WriteFile(c.open+"/link", []byte("x"), 0o644) },
		"make a device":      func() error { return unix.Mknod(c.open+"/null", unix.S_IFCHR, 0x103) },
		"make a named pipe":  func() error { return unix.Mkfifo(c.open+"/pipe", 0o644) },
		"rename a directory": func() error { return os.Rename(c.closed, c.open+"/moved") },
	}
	if abi >= 3 {
		escapes["truncate"] = func() error { return os.Truncate(c.closed+"/file", 0) }
	}
	restricted(t, policy.Policy{Files: rules}, func() error {
		for i, do := range []func() error{
			func() error { return os.WriteFile(c.open+"/file", []byte("x"), 0o644) },
			func() error { return os.WriteFile(c.open+"/made", nil, 0o644) },
			func() error { return os.Rename(c.open+"/made", c.open+"/renamed") },
			func() error { return os.MkdirAll(c.open+"/a/b", 0o755) },
			func() error { return os.RemoveAll(c.open + "/a") },
		} {
			if err := do(); err != nil {
				return fmt.Errorf("what is permitted, %d: %w", i, err)
			}
		}
		for how, do := range escapes {
			if err := do(); err == nil {
				return fmt.Errorf("%s: it worked", how)
			}
		}
		return nil
	})
	c.intact(t)
}

func openFor(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// TestMoreByRename: a file must not gain rights by being moved where there are more.

func TestMoreByRename(t *testing.T) {
	abiHere(t, 2)
	dir := t.TempDir()
	for _, d := range []string{"write", "exec"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rules := []policy.FileRule{
		{Path: dir + "/write", Access: policy.Read | policy.Write},
		{Path: dir + "/exec", Access: policy.Read | policy.Write | policy.Execute},
	}
	restricted(t, policy.Policy{Files: rules}, func() error {
		if err := os.WriteFile(dir+"/write/program", []byte("#!/bin/sh\n"), 0o755); err != nil {
			return err
		}
		if err := os.Rename(dir+"/write/program", dir+"/exec/program"); err == nil {
			return errors.New("a file became executable by a rename")
		}
		if err := os.Link(dir+"/write/program", dir+"/exec/program"); err == nil {
			return errors.New("a file became executable by a link")
		}
		return nil
	})
}

func TestExecuting(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func() error {
		c := exec.Command(self)
		c.Env = []string{signalEnv + "=0"} // signals its own group, with nothing
		return c.Run()
	}
	files := []policy.FileRule{{Path: "/", Access: policy.Read}, {Path: "/dev/null", Access: policy.Read | policy.Write}}
	restricted(t, policy.Policy{Files: files}, func() error {
		if err := run(); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("without the right: %w", err)
		}
		return nil
	})
	files[0].Access |= policy.Execute
	restricted(t, policy.Policy{Files: files}, run)
}

func TestDescriptor(t *testing.T) {
	c := newCanaries(t)
	s, _, err := Compile(policy.Policy{Files: []policy.FileRule{{Path: c.open, Access: policy.Read}}}, abiHere(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(r.FD()), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor is not closed on exec: %#x, %v", flags, err)
	}
	for range 3 {
		err := osthread.Run(func() error {
			if err := r.Restrict(); err != nil {
				return err
			}
			if data, err := os.ReadFile(c.closed + "/file"); !errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("%q, %w", data, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := osthread.Run(r.Restrict); err == nil {
		t.Error("a closed ruleset restricts")
	}
}

// TestOlderKernels applies what older versions would get: it must be valid and hold.

func TestOlderKernels(t *testing.T) {
	here := abiHere(t, 1)
	for abi := 1; abi <= here && abi <= MaxABI; abi++ {
		t.Run(strconv.Itoa(abi), func(t *testing.T) {
			c := newCanaries(t)
			s, _, err := Compile(policy.Policy{Files: []policy.FileRule{{Path: c.open, Access: policy.Read | policy.Write | policy.Execute}}}, abi)
			if err != nil {
				t.Fatal(err)
			}
			err = osthread.Run(func() error {
				if err := s.Restrict(); err != nil {
					return err
				}
				if data, err := os.ReadFile(c.closed + "/file"); !errors.Is(err, fs.ErrPermission) {
					return fmt.Errorf("%q, %w", data, err)
				}
				return os.WriteFile(c.open+"/file", []byte("x"), 0o644)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	abiHere(t, 1)
	for name, c := range map[string]struct {
		spec Spec
		want error
	}{
		"rights that no kernel has":     {Spec{FS: 1 << 63}, unix.EINVAL},
		"nothing to take away":          {Spec{}, unix.ENOMSG},
		"a path that is not there":      {Spec{FS: fsRead, Paths: []PathRule{{"/no/such/path", fsRead}}}, unix.ENOENT},
		"a right that is not taken":     {Spec{FS: fsRead, Paths: []PathRule{{"/", fsExecute}}}, unix.EINVAL},
		"a directory's right on a file": {Spec{FS: fsRead, Paths: []PathRule{{"/dev/null", fsRead}}}, unix.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := c.spec.Open()
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if err == nil {
				_ = r.Close()
			}
		})
	}
}

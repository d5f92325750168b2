package guard

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPaths(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	c := newCell(t, g, tr.policy())
	open := func(name string, flags int) error {
		fd, err := unix.Open(tr.at(name), flags|unix.O_CLOEXEC, 0o600)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
	cases := []struct {
		name    string
		do      func() error
		allowed bool
		changes bool
	}{
		{"read", func() error { return readAs(tr.at("a/file")) }, true, false},
		{"write", func() error { return open("a/file", unix.O_RDWR) }, true, false},
		{"list", func() error { _, err := os.ReadDir(tr.at("a")); return err }, true, false},
		{"a like name", func() error { return readAs(tr.at("ab/file")) }, false, false},
		{"by dots", func() error { return readAs(tr.at("a/../b/file")) }, false, false},
		{"by a link", func() error { return readAs(tr.at("a/link")) }, false, false},
		{"by a linked directory", func() error { return readAs(tr.at("a/dirlink/file")) }, false, false},
		{"by proc", func() error { return readAs("/proc/self/root" + tr.at("b/file")) }, false, false},
		{"the longer rule takes away", func() error { return readAs(tr.at("a/closed/file")) }, false, false},
		{"the longer rule lets read", func() error { return readAs(tr.at("a/readonly/file")) }, true, false},
		{"and not write", func() error { return open("a/readonly/file", unix.O_WRONLY) }, false, false},
		{"and not append", func() error { return open("a/readonly/file", unix.O_WRONLY|unix.O_APPEND) }, false, false},
		{"list what is closed", func() error { _, err := os.ReadDir(tr.at("b")); return err }, false, false},
		{"a file without name", func() error { return open("b", unix.O_TMPFILE|unix.O_RDWR) }, false, false},
		{"make", func() error { return open("a/new", unix.O_CREAT|unix.O_WRONLY) }, true, true},
		{"make elsewhere", func() error { return open("b/new", unix.O_CREAT|unix.O_WRONLY) }, false, true},
		{"make in the root", func() error { return unix.Mkdir("/pyisolate-guard-test", 0o755) }, false, true},
		{"rename within", func() error { return unix.Rename(tr.at("a/move"), tr.at("a/moved")) }, true, true},
		{"rename out", func() error { return unix.Rename(tr.at("a/moved"), tr.at("b/moved")) }, false, true},
		{"rename in", func() error { return unix.Rename(tr.at("b/file"), tr.at("a/stolen")) }, false, true},
		{"rename into readonly", func() error { return unix.Rename(tr.at("a/moved"), tr.at("a/readonly/x")) }, false, true},
		{"rename what is closed", func() error { return unix.Rename(tr.at("b"), tr.at("a/b")) }, false, true},
		{"hard link", func() error { return unix.Link(tr.at("b/file"), tr.at("a/hard")) }, false, true},
		{"symbolic link", func() error { return unix.Symlink("/", tr.at("a/soft")) }, true, true},
		{"symbolic link elsewhere", func() error { return unix.Symlink("/", tr.at("b/soft")) }, false, true},
		{"make a directory", func() error { return unix.Mkdir(tr.at("a/dir"), 0o755) }, true, true},
		{"remove a directory", func() error { return unix.Rmdir(tr.at("a/dir")) }, true, true},
		{"remove", func() error { return unix.Unlink(tr.at("a/remove")) }, true, true},
		{"remove elsewhere", func() error { return unix.Unlink(tr.at("b/file")) }, false, true},
		{"truncate", func() error { return unix.Truncate(tr.at("a/file"), 1) }, true, true},
		{"truncate elsewhere", func() error { return unix.Truncate(tr.at("b/file"), 0) }, false, true},
		{"chmod", func() error { return unix.Chmod(tr.at("a/file"), 0o600) }, true, true},
		{"chmod elsewhere", func() error { return unix.Chmod(tr.at("b/file"), 0o666) }, false, true},
		{"chown elsewhere", func() error { return unix.Chown(tr.at("b/file"), 1, 1) }, false, true},
		{"look", func() error { var st unix.Stat_t; return unix.Stat(tr.at("b/file"), &st) }, true, false},
	}
	for _, k := range cases { // in order: some need what others made
		allowed := k.allowed && (!k.changes || g.Judges(Changes))
		on(t, c, func() error {
			err := k.do()
			if allowed && err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if allowed {
				return nil
			}
			if k.changes && !g.Judges(Changes) && err != nil {
				return nil // what it acts on was not made
			}
			return denied(k.name, err)
		})
	}
	if data, err := os.ReadFile(tr.at("b/file")); err != nil || string(data) != secret {
		t.Errorf("what is closed is another: %q, %v", data, err)
	}
	if entries, err := os.ReadDir(tr.at("b")); err != nil || len(entries) != 1 {
		t.Errorf("what is closed has %v, %v", entries, err)
	}
}

func TestExecutable(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	c := newCell(t, g, tr.policy())
	on(t, c, func() error {
		if _, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON); denied("memory for code", err) != nil {
			return denied("memory for code", err)
		}
		data, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		if err := denied("data that becomes code", unix.Mprotect(data, unix.PROT_READ|unix.PROT_EXEC)); err != nil {
			return err
		}
		fd, err := unix.Open(tr.at("a/file"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
		_ = unix.Close(fd)
		return denied("a file without the right to be executed", err)
	})
}

package guard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
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
		{"and not empty it", func() error { return open("a/readonly/file", unix.O_RDONLY|unix.O_TRUNC) }, false, false},
		{"empty what is another's", func() error { return open("b/file", unix.O_RDONLY|unix.O_TRUNC) }, false, false},
		{"empty", func() error { return open("a/file", unix.O_RDONLY|unix.O_TRUNC) }, true, true},
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
		{"symbolic link", func() error { return unix.Symlink("file", tr.at("a/soft")) }, false, true},
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

// TestMoves: no path that a rule is for is taken away or gets something else, nor does
// anything gain by being moved.
func TestMoves(t *testing.T) {
	g := guarded(t)
	if !g.Judges(Changes) {
		t.Skip("this kernel has all changes of directories refused")
	}
	const r, w, x = policy.Read, policy.Write, policy.Execute
	rename := func(from, to string, flags uint) func(string) error {
		return func(root string) error {
			return unix.Renameat2(unix.AT_FDCWD, root+from, unix.AT_FDCWD, root+to, flags)
		}
	}
	unlink := func(path string) func(string) error {
		return func(root string) error { return unix.Unlink(root + path) }
	}
	rmdir := func(path string) func(string) error {
		return func(root string) error { return unix.Rmdir(root + path) }
	}
	for name, k := range map[string]struct {
		do      func(root string) error
		allowed bool
	}{
		"the directory above a closed one":     {rename("/p/conf", "/p/c", 0), false},
		"one two above":                        {rename("/p/deep", "/p/d", 0), false},
		"the closed one":                       {rename("/p/conf/secrets", "/p/s", 0), false},
		"a directory without rules":            {rename("/p/plain", "/p/moved", 0), true},
		"one beside":                           {rename("/p/conf/other", "/p/other", 0), true},
		"one of a like name":                   {rename("/p/conf2", "/p/conf3", 0), true},
		"one to where a rule would be for it":  {rename("/p/plain", "/p/later", 0), false},
		"one to where a rule would be for its": {rename("/p/plain", "/p/none", 0), false},
		"in the place of a rule's directory":   {rename("/p/plain", "/p/run", 0), false},
		"changing places with one above":       {rename("/p/plain", "/p/conf", unix.RENAME_EXCHANGE), false},
		"and the other way":                    {rename("/p/conf", "/p/plain", unix.RENAME_EXCHANGE), false},
		"changing places":                      {rename("/p/file", "/p/plain", unix.RENAME_EXCHANGE), true},
		"the policy's root":                    {rename("/p", "/q", 0), false},
		"to where it could be executed":        {rename("/p/file", "/p/run/file", 0), false},
		"to where it could not be any more":    {rename("/p/run/program", "/p/program", 0), true},
		"unless something gains thereby":       {rename("/p/run/program", "/p/file", unix.RENAME_EXCHANGE), false},
		"to where it could be read":            {rename("/p/drop/file", "/p/plain/file", 0), false},
		"to where it could only be written":    {rename("/p/file", "/p/drop/new", 0), true},
		"a rule's empty directory":             {rmdir("/p/run/empty"), false},
		"a rule's file":                        {unlink("/p/key"), false},
		"a rule's file, replaced":              {rename("/p/file", "/p/key", 0), false},
		"a file":                               {unlink("/p/file"), true},
		"a link that a rule goes by":           {unlink("/p/way"), false},
		"one further on":                       {unlink("/p/real/hop"), false},
		"such a link, moved":                   {rename("/p/way", "/p/new", 0), false},
		"such a link, replaced":                {rename("/p/away", "/p/way", 0), false},
		"such a link, changing places":         {rename("/p/away", "/p/way", unix.RENAME_EXCHANGE), false},
		"what such a link is in":               {rename("/p/real", "/p/new", 0), false},
		"what such a link leads to":            {rename("/p/real/deep", "/p/new", 0), false},
		"another link":                         {unlink("/p/away"), true},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, file := range []string{"conf/secrets/file", "conf/other/file", "conf2/file", "deep/er/secrets/file", "plain/er/file", "run/program", "drop/file", "real/deep/file", "file", "key"} {
				path := root + "/p/" + file
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			links := errors.Join(os.Symlink("real", root+"/p/way"), os.Symlink("../real/deep", root+"/p/real/hop"), os.Symlink("plain", root+"/p/away"))
			if err := errors.Join(os.Mkdir(root+"/p/run/empty", 0o755), links); err != nil {
				t.Fatal(err)
			}
			var rules []policy.FileRule
			for path, access := range map[string]policy.Access{
				"": r | w, "/conf/secrets": 0, "/deep/er/secrets": r, "/run": r | w | x, "/run/empty": r | w | x, "/drop": w, "/key": r | w,
				"/later": r | w | x, "/none/er": r | w | x, "/way/hop": r | w,
			} {
				rules = append(rules, policy.FileRule{Path: root + "/p" + path, Access: access})
			}
			c := newCell(t, g, own(rules...))
			on(t, c, func() error {
				err := k.do(root)
				if k.allowed {
					return err
				}
				return denied("", err)
			})
		})
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

package notify

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// What the guard's test of the same name says, and what only this layer can get wrong.
func TestPaths(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	const denied = unix.EACCES
	cases := []struct {
		name string
		do   func() error
		want error
	}{
		{"read", func() error { return readAs(tr.at("a/file")) }, nil},
		{"write", func() error { return open(tr.at("a/file"), unix.O_RDWR) }, nil},
		{"list", func() error { _, err := os.ReadDir(tr.at("a")); return err }, nil},
		{"what is not there", func() error { return open(tr.at("a/none"), 0) }, unix.ENOENT},
		{"an inner link", func() error { return readAs(tr.at("a/innerlink")) }, nil},
		{"a like name", func() error { return readAs(tr.at("ab/file")) }, denied},
		{"by dots", func() error { return readAs(tr.at("a/") + "/../b/file") }, denied},
		{"by dots inside", func() error { return readAs(tr.at("a/sub") + "/../file") }, nil},
		{"by a link", func() error { return readAs(tr.at("a/link")) }, denied},
		{"by a linked directory", func() error { return readAs(tr.at("a/dirlink/file")) }, denied},
		{"by a loop", func() error { return readAs(tr.at("a/loop")) }, unix.ELOOP},
		{"a link not followed", func() error { return open(tr.at("a/innerlink"), unix.O_NOFOLLOW) }, unix.ELOOP},
		{"the longer rule takes away", func() error { return readAs(tr.at("a/closed/file")) }, denied},
		{"the longer rule lets read", func() error { return readAs(tr.at("a/readonly/file")) }, nil},
		{"and not write", func() error { return open(tr.at("a/readonly/file"), unix.O_WRONLY) }, denied},
		{"and not append", func() error { return open(tr.at("a/readonly/file"), unix.O_WRONLY|unix.O_APPEND) }, denied},
		{"and not empty by reading", func() error { return open(tr.at("a/readonly/file"), unix.O_TRUNC) }, denied},
		{"write what cannot be read", func() error { return open(tr.at("in/file"), unix.O_WRONLY) }, nil},
		{"and not read it", func() error { return open(tr.at("in/file"), unix.O_RDWR) }, denied},
		{"list what is closed", func() error { _, err := os.ReadDir(tr.at("b")); return errors.Unwrap(err) }, denied},
		{"hold", func() error { return open(tr.at("a/file"), unix.O_PATH) }, unix.EOPNOTSUPP},
		{"a file without name", func() error { return open(tr.at("a"), unix.O_TMPFILE|unix.O_RDWR) }, unix.EOPNOTSUPP},
		{"write a directory", func() error { return open(tr.at("a"), unix.O_RDWR) }, unix.EISDIR},
		{"a file as a directory", func() error { return open(tr.at("a/file")+"/", 0) }, unix.ENOTDIR},
		{"make", func() error { return open(tr.at("a/new"), unix.O_CREAT|unix.O_WRONLY) }, nil},
		{"make again", func() error { return open(tr.at("a/new"), unix.O_CREAT|unix.O_WRONLY) }, nil},
		{"make anew", func() error { return open(tr.at("a/new"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY) }, unix.EEXIST},
		{"make with a slash", func() error { return open(tr.at("a/new2")+"/", unix.O_CREAT|unix.O_WRONLY) }, unix.EISDIR},
		{"make elsewhere", func() error { return open(tr.at("b/new"), unix.O_CREAT|unix.O_WRONLY) }, denied},
		{"make through a dangling link", func() error { return open(tr.at("a/dangling"), unix.O_CREAT|unix.O_WRONLY) }, denied},
		{"make anew at a link", func() error { return open(tr.at("a/dangling"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY) }, unix.EEXIST},
		{"make below a linked directory", func() error { return open(tr.at("a/dirlink/new"), unix.O_CREAT|unix.O_WRONLY) }, denied},
		{"make and read where only writing is", func() error { return open(tr.at("in/new"), unix.O_CREAT|unix.O_RDWR) }, denied},
		{"make in the root", func() error { return unix.Mkdir("/pyisolate-notify-test", 0o755) }, denied},
		{"make the root", func() error { return unix.Mkdir("/", 0o755) }, unix.EEXIST},
		{"rename within", func() error { return unix.Rename(tr.at("a/move"), tr.at("a/moved")) }, nil},
		{"rename out", func() error { return unix.Rename(tr.at("a/moved"), tr.at("b/moved")) }, denied},
		{"rename in", func() error { return unix.Rename(tr.at("b/file"), tr.at("a/stolen")) }, denied},
		{"rename by a linked directory", func() error { return unix.Rename(tr.at("a/dirlink/file"), tr.at("a/stolen")) }, denied},
		{"rename into readonly", func() error { return unix.Rename(tr.at("a/moved"), tr.at("a/readonly/x")) }, denied},
		{"rename what is closed", func() error { return unix.Rename(tr.at("b"), tr.at("a/b")) }, denied},
		{"rename to where it can be read", func() error { return unix.Rename(tr.at("in/file"), tr.at("a/stolen")) }, denied},
		{"exchange with where it cannot", func() error {
			return unix.Renameat2(unix.AT_FDCWD, tr.at("a/moved"), unix.AT_FDCWD, tr.at("in/file"), unix.RENAME_EXCHANGE)
		}, denied},
		{"rename a rule's place", func() error { return unix.Rename(tr.at("a/closed"), tr.at("a/open")) }, denied},
		{"rename over", func() error {
			return unix.Renameat2(unix.AT_FDCWD, tr.at("a/moved"), unix.AT_FDCWD, tr.at("a/new"), unix.RENAME_NOREPLACE)
		}, unix.EEXIST},
		{"leave a device behind", func() error {
			return unix.Renameat2(unix.AT_FDCWD, tr.at("a/moved"), unix.AT_FDCWD, tr.at("a/x"), unix.RENAME_WHITEOUT)
		}, unix.EINVAL},
		{"hard link", func() error { return unix.Link(tr.at("b/file"), tr.at("a/hard")) }, unix.EPERM},
		{"symbolic link", func() error { return unix.Symlink("file", tr.at("a/soft")) }, unix.EPERM},
		{"make a directory", func() error { return unix.Mkdir(tr.at("a/dir")+"/", 0o755) }, nil},
		{"remove as a file", func() error { return unix.Unlink(tr.at("a/dir")) }, unix.EISDIR},
		{"remove a directory", func() error { return unix.Rmdir(tr.at("a/dir") + "/") }, nil},
		{"remove", func() error { return unix.Unlink(tr.at("a/remove")) }, nil},
		{"remove elsewhere", func() error { return unix.Unlink(tr.at("b/file")) }, denied},
		{"remove dots", func() error { return unix.Rmdir(tr.at("a") + "/sub/..") }, unix.EINVAL},
		{"truncate", func() error { return unix.Truncate(tr.at("a/file"), 1) }, nil},
		{"truncate by a link", func() error { return unix.Truncate(tr.at("a/link"), 0) }, denied},
		{"truncate elsewhere", func() error { return unix.Truncate(tr.at("b/file"), 0) }, denied},
		{"chmod", func() error { return unix.Chmod(tr.at("a/file"), 0o600) }, unix.EPERM},
		{"mknod", func() error { return unix.Mknod(tr.at("a/node"), unix.S_IFREG|0o600, 0) }, unix.EPERM},
		{"look", func() error { var st unix.Stat_t; return unix.Stat(tr.at("b/file"), &st) }, nil},
		{"nothing", func() error { return open("", 0) }, unix.ENOENT},
	}
	on(t, s, Target{Rules: compiled(t, tr.rules()...)}, func(*Watched) error {
		for _, c := range cases { // in order: some need what others made
			if err := c.do(); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
		return nil
	})
	tr.unharmed(t)
}

// With a rule for everything, what is special still needs one of its own.
func TestSpecial(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	if err := os.WriteFile(tr.at("open"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(tr.at("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	inProc := func(name string) string { return fmt.Sprintf("/proc/%d/%s", os.Getpid(), name) }
	rules := compiled(t, policy.FileRule{Path: "/", Access: rw}, policy.FileRule{Path: "/dev/null", Access: rw},
		policy.FileRule{Path: "/proc/uptime", Access: r}, policy.FileRule{Path: tr.at("a/named"), Access: rw})
	on(t, s, Target{Rules: rules}, func(*Watched) error {
		for path, want := range map[string]error{
			"/dev/null":          nil,
			"/proc/uptime":       nil,
			tr.at("b/file"):      nil,
			"/dev/zero":          unix.EACCES,
			"/proc/version":      unix.EACCES,
			"/proc/self/mem":     unix.EACCES, // the node's
			"/proc/self/environ": unix.EACCES,
			inProc("mem"):        unix.EACCES,
			"/proc/self/exe":     unix.ELOOP, // links of that kind are not followed
			"/proc/self/root":    unix.ELOOP,
			"/proc/self/cwd/x":   unix.ELOOP,
			"/proc/thread-self/root" + tr.at("b/file"):              unix.ELOOP,
			inProc(fmt.Sprintf("fd/%d", held.Fd())):                 unix.ELOOP,
			fmt.Sprintf("/dev/fd/%d", held.Fd()):                    unix.ELOOP,
			fmt.Sprintf("/proc/self/task/%d/status", unix.Gettid()): unix.EACCES,
			tr.at("a/pipe"): unix.EACCES,
		} {
			if err := open(path, unix.O_RDONLY); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", path, err, want)
			}
		}
		// A rule of its own, and nobody at the other end: the supervisor does not wait.
		if err := open(tr.at("a/named"), unix.O_WRONLY); !errors.Is(err, unix.ENXIO) {
			t.Errorf("a pipe without readers: %v", err)
		}
		return open(tr.at("a/named"), unix.O_RDONLY)
	})
}

func TestRulesAboutTheNodeItself(t *testing.T) {
	for _, path := range []string{"/proc/self/maps", "/proc/thread-self", fmt.Sprintf("/proc/%d/fd", os.Getpid())} {
		if _, err := Compile([]policy.FileRule{{Path: path, Access: r}}); err == nil {
			t.Errorf("a rule for %s is taken", path)
		}
	}
}

func TestJudge(t *testing.T) {
	rules := &Rules{access: map[string]policy.Access{"/": r, "/a": rw, "/a/b": 0, "/a/b/c": w}}
	for path, want := range map[string]policy.Access{"/": r, "/x": r, "/ab": r, "/a": rw, "/a/x/y": rw, "/a/b": 0, "/a/b/x": 0, "/a/b/c": w,
		"/a/b/c/d": w, "a": 0, "": 0, "pipe:[7]": 0} {
		left := policy.Steps(maxSteps)
		if got := rules.judge(path, &left); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
	left := policy.Steps(maxSteps)
	if none := (&Rules{}); none.judge("/", &left) != 0 || none.names("/") {
		t.Error("no rules give something")
	}
}

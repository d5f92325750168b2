package notify

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

// TestLayers is the sentence with what cells run, layers_notify: two threads of a
// process in C, each with its own filter on top. A thread is known by the number it sent.
func TestLayers(t *testing.T) {
	program := buildThreads(t)
	s := supervisor(t, Options{})
	tr := newTree(t)
	a, b := compiled(t, tr.rule("a")), compiled(t, tr.rule("b"))
	conns, theirs := make([]*net.UnixConn, 2), make([]*os.File, 2)
	for i := range conns {
		conns[i], theirs[i] = socketPair(t)
	}
	c := exec.Command(program, encoded(t, tr, "notify"), encoded(t, tr, "own"), "3", "4")
	c.ExtraFiles, c.Stderr = theirs, os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	watched := make([]*Watched, 2)
	for i, rules := range []*Rules{a, b} {
		_ = theirs[i].Close()
		listener, id, err := Receive(conns[i])
		if err != nil || id != uint64(100+i) {
			_ = c.Process.Kill()
			t.Fatalf("thread %d sent %d, %v", i, id, err)
		}
		if watched[i], err = s.Add(listener, Target{ID: id, Rules: rules}); err != nil {
			t.Fatal(err)
		}
	}
	answers := bufio.NewScanner(stdout)
	want := func(thread int, name string, want unix.Errno) {
		t.Helper()
		if _, err := fmt.Fprintf(stdin, "%d %s\n", thread, tr.at(name+"/file")); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() || answers.Text() != fmt.Sprint(int(want)) {
			t.Errorf("thread %d opens %s: %q, want %d", thread, name, answers.Text(), want)
		}
	}
	both := func(first, second string) {
		t.Helper()
		want(0, first, 0)
		want(0, second, unix.EACCES)
		want(1, first, unix.EACCES)
		want(1, second, 0)
	}
	both("a", "b")
	watched[0].Swap(b)
	watched[1].Swap(a)
	both("b", "a")
	if err := watched[0].Close(); err != nil {
		t.Error(err)
	}
	want(0, "b", unix.ENOSYS)
	want(1, "a", 0)
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	<-watched[1].Done()
}

// A socket of a pair gets no name in the file system: by bind it would be made where no path
// was judged, without Landlock even where rules give nothing. A cell's own filter lets bind
// pass where it has the network.
func TestPairsGetNoName(t *testing.T) {
	own, err := seccomp.Compile(seccomp.Options{Backend: seccomp.Process, Grants: seccomp.AllGrants})
	if err != nil {
		t.Skip(err)
	}
	s := supervisor(t, Options{})
	tr := newTree(t)
	names := []string{"a/socket", "a/closed/socket", "b/socket"}
	on(t, s, Target{Rules: compiled(t, tr.rules()...)}, func(*Watched) error {
		if err := own.Install(seccomp.ThisThread); err != nil {
			return err
		}
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
			for _, name := range names {
				pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					return err
				}
				if err := unix.Bind(pair[0], &unix.SockaddrUnix{Name: tr.at(name)}); !errors.Is(err, unix.EPERM) {
					t.Errorf("a pair of type %d is bound to %s: %v", kind, name, err)
				}
				if err := errors.Join(unix.Close(pair[0]), unix.Close(pair[1])); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, name := range names {
		if _, err := os.Lstat(tr.at(name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has been made: %v", name, err)
		}
	}
}

// buildThreads compiles the cells' own source with testdata/threads.c.
func buildThreads(t *testing.T) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler: ", err)
	}
	room := filepath.Join("..", "..", "cell", "cpython")
	if _, err := os.Stat(filepath.Join(room, "layers.c")); err != nil {
		t.Skip("the cells' source is not here: ", err)
	}
	to := filepath.Join(t.TempDir(), "threads")
	out, err := exec.Command(cc, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-I", room, "-o", to,
		"testdata/threads.c", filepath.Join(room, "layers.c"), "-lpthread").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return to
}

// encoded writes a program to a file, for C.
func encoded(t *testing.T, tr tree, which string) string {
	t.Helper()
	program, err := seccomp.CompileNotify("")
	if which == "own" {
		program, err = seccomp.Compile(seccomp.Options{Backend: seccomp.SubInterpreter})
	}
	if err != nil {
		t.Skip(err)
	}
	data, err := program.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	path := tr.at(which + ".program")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is no message with one listener is refused, and nothing of it stays open.
func TestReceive(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	fd := int(null.Fd())
	for name, c := range map[string]struct {
		payload string
		fds     []int
		wrong   bool
	}{
		"right":           {"\x07\x00\x00\x00\x00\x00\x00\x00", []int{fd}, false},
		"no descriptor":   {"\x07\x00\x00\x00\x00\x00\x00\x00", nil, true},
		"many":            {"\x07\x00\x00\x00\x00\x00\x00\x00", []int{fd, fd, fd}, true},
		"a short number":  {"\x07", []int{fd}, true},
		"a long number":   {strings.Repeat("\x07", 9), []int{fd}, true},
		"a longer number": {strings.Repeat("\x07", 99), []int{fd}, true},
	} {
		t.Run(name, func(t *testing.T) {
			conn, theirs := socketPair(t)
			defer func() { _ = theirs.Close() }()
			var control []byte
			if c.fds != nil {
				control = unix.UnixRights(c.fds...)
			}
			if err := unix.Sendmsg(int(theirs.Fd()), []byte(c.payload), control, nil, 0); err != nil {
				t.Fatal(err)
			}
			before := descriptors(t)
			file, id, err := Receive(conn)
			if (err != nil) != c.wrong || (!c.wrong && id != 7) {
				t.Errorf("%d, %v", id, err)
			}
			if err == nil {
				_ = file.Close()
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors are open, %d were", after, before)
			}
		})
	}
	conn, theirs := socketPair(t)
	_ = theirs.Close()
	if _, _, err := Receive(conn); err == nil {
		t.Error("something came from a socket that was closed")
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

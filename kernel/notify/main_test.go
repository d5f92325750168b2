package notify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/seccomp"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		os.Exit(child(what))
	}
	goleak.VerifyTestMain(m)
}

const r, w, rw = policy.Read, policy.Write, policy.Read | policy.Write

// supervisor of the test, which ends with it.
func supervisor(t testing.TB, o Options) *Supervisor {
	t.Helper()
	s, err := New(o)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func compiled(t testing.TB, files ...policy.FileRule) *Rules {
	t.Helper()
	rules, err := Compile(files)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

var errNoListener = errors.New("this thread gets no listener, since it has one already or may not filter")

// listen puts the program on the calling thread.
func listen() (*os.File, error) {
	p, err := seccomp.CompileNotify("")
	if err != nil {
		return nil, err
	}
	file, err := p.Listen()
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("%w: %w", errNoListener, err)
	}
	return file, err
}

// onThread runs f on a thread that s watches.
func onThread(s *Supervisor, target Target, f func(*Watched) error) error {
	return osthread.Run(func() error {
		listener, err := listen()
		if err != nil {
			return err
		}
		watched, err := s.Add(listener, target)
		if err != nil {
			return err
		}
		return f(watched)
	})
}

// on is onThread for a test that is over when f fails.
func on(t testing.TB, s *Supervisor, target Target, f func(*Watched) error) {
	t.Helper()
	err := onThread(s, target, f)
	if errors.Is(err, errNoListener) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

const secret = "secret"

// tree is a directory with a, which rules give, and b, which they do not.
type tree string

func (tr tree) at(name string) string { return filepath.Join(string(tr), name) }

func newTree(t testing.TB) tree {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tr := tree(dir)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"a", "a/closed", "a/readonly", "a/sub", "ab", "b", "in"} {
		must(os.Mkdir(tr.at(d), 0o755))
	}
	for _, f := range []string{"a/file", "a/move", "a/remove", "a/sub/file", "a/closed/file", "a/readonly/file", "ab/file", "b/file", "in/file"} {
		must(os.WriteFile(tr.at(f), []byte(secret), 0o644))
	}
	must(os.Symlink("../b/file", tr.at("a/link")))
	must(os.Symlink("../b", tr.at("a/dirlink")))
	must(os.Symlink("file", tr.at("a/innerlink")))
	must(os.Symlink("../b/none", tr.at("a/dangling")))
	must(os.Symlink("loop", tr.at("a/loop")))
	must(unix.Mkfifo(tr.at("a/pipe"), 0o644))
	must(unix.Mkfifo(tr.at("a/named"), 0o644))
	return tr
}

// rules give a to read and write but for closed and readonly.
func (tr tree) rules(more ...policy.FileRule) []policy.FileRule {
	return append([]policy.FileRule{{Path: tr.at("a"), Access: rw}, {Path: tr.at("a/closed")}, {Path: tr.at("a/readonly"), Access: r},
		{Path: tr.at("in"), Access: w}, {Path: tr.at("a/named"), Access: rw}}, more...)
}

// unharmed fails the test when b is not as it was made.
func (tr tree) unharmed(t testing.TB) {
	t.Helper()
	if data, err := os.ReadFile(tr.at("b/file")); err != nil || string(data) != secret {
		t.Errorf("what is closed is another: %q, %v", data, err)
	}
	if entries, err := os.ReadDir(tr.at("b")); err != nil || len(entries) != 1 {
		t.Errorf("what is closed has %v, %v", entries, err)
	}
}

// open and close, by the system call that x/sys makes, which is openat.
func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

// readAs reads a file and wants the secret in it.
func readAs(path string) error {
	data, err := os.ReadFile(path)
	if err == nil && string(data) != secret {
		err = fmt.Errorf("it has %q", data)
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return err
}

package notify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

// childEnv makes the test binary a process that is watched.
const childEnv = "PYISOLATE_NOTIFY_CHILD"

// children are what it does with a path; what they write is wanted.
var children = map[string]func(path string) error{
	"limit": func(path string) error {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		limit.Cur = 0
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		if err := open(path, 0); !errors.Is(err, unix.EMFILE) {
			return fmt.Errorf("over the limit: %w", err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 7, Max: 7}); err != nil {
			return err
		}
		if err := unix.Truncate(path, 8); !errors.Is(err, unix.EFBIG) {
			return fmt.Errorf("over the limit of a file: %w", err)
		}
		return unix.Truncate(path, 7)
	},
	"killed": func(path string) error {
		for {
			_ = open(path, 0)
		}
	},
	"ends": func(path string) error { return readAs(path) },
}

// child confines one thread and hands its listener over descriptor 3.
func child(what string) int {
	err := osthread.Run(func() error {
		listener, err := listen()
		if err != nil {
			return err
		}
		if err := unix.Sendmsg(3, make([]byte, 8), unix.UnixRights(int(listener.Fd())), nil, 0); err != nil {
			return err
		}
		if err := errors.Join(listener.Close(), unix.Close(3)); err != nil {
			return err
		}
		return children[what](os.Getenv(childEnv + "_PATH"))
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 7
}

// startChild starts one and adds its listener.
func startChild(t *testing.T, s *Supervisor, what string, tr tree) (*exec.Cmd, *Watched) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	conn, theirs := socketPair(t)
	c := exec.Command(self)
	c.Env = append(os.Environ(), childEnv+"="+what, childEnv+"_PATH="+tr.at("a/file"))
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	c.ExtraFiles = []*os.File{theirs}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	listener, id, err := Receive(conn)
	if err != nil || id != 0 {
		_ = c.Process.Kill()
		_ = c.Wait()
		t.Skipf("the child has no listener: %d, %v", id, err)
	}
	watched, err := s.Add(listener, Target{Rules: compiled(t, tr.rules()...)})
	if err != nil {
		_ = c.Process.Kill()
		t.Fatal(err)
	}
	return c, watched
}

func socketPair(t *testing.T) (*net.UnixConn, *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := os.NewFile(uintptr(pair[0]), "ours")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UnixConn), os.NewFile(uintptr(pair[1]), "theirs")
}

func TestProcess(t *testing.T) {
	s := supervisor(t, Options{})
	for _, what := range []string{"limit", "ends"} {
		t.Run(what, func(t *testing.T) {
			c, watched := startChild(t, s, what, newTree(t))
			err := c.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Errorf("it ended with %v", err)
			}
			<-watched.Done()
		})
	}
}

// Killed wherever it is in a call, a process leaves nothing behind.
func TestKilled(t *testing.T) {
	s := supervisor(t, Options{})
	tr := newTree(t)
	open := func() int {
		fds, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := 0
	for i := range 8 {
		c, watched := startChild(t, s, "killed", tr)
		await.That(t, "it opens", func() bool { return watched.Counts().Opened > uint64(10*i) })
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err == nil || c.ProcessState.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			t.Fatalf("it ended with %v", err)
		}
		<-watched.Done()
		if i == 0 {
			before = open()
		}
	}
	await.That(t, "descriptors are closed", func() bool { return open() <= before+8 }) // sockets of the rounds
}

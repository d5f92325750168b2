package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// roleEnv makes the test binary a child of a bound thread.
const roleEnv = "PYISOLATE_GUARD_ROLE"

func TestMain(m *testing.M) {
	if role, arg, ok := strings.Cut(os.Getenv(roleEnv), ":"); ok {
		os.Exit(play(role, arg))
	}
	goleak.VerifyTestMain(m)
}

// play does one thing and prints what came of it.
func play(role, arg string) int {
	switch role {
	case "read": // on a thread that the child starts
		err := osthread.Run(func() error {
			data, err := os.ReadFile(arg)
			fmt.Print(string(data))
			return err
		})
		fmt.Print(" ", reason(err))
	case "signal":
		pid, err := strconv.Atoi(arg)
		if err == nil {
			err = unix.Kill(pid, 0)
		}
		fmt.Print(reason(err))
	}
	return 0
}

func reason(err error) string {
	switch {
	case err == nil:
		return "worked"
	case errors.Is(err, fs.ErrPermission):
		return "denied"
	default:
		return err.Error()
	}
}

// guarded loads the programs, or skips where the kernel does not call them.
func guarded(t testing.TB) *Guard {
	t.Helper()
	if r := probe.Host().Row(probe.BPFLSM); !r.Works {
		t.Skipf("no eBPF-LSM here: %s", r.Answer)
	}
	g, err := Load(Options{})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func newCell(t testing.TB, g *Guard, p policy.Policy) *Cell {
	t.Helper()
	c, err := g.NewCell(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// on runs f on a thread that is bound to c.
func on(t testing.TB, c *Cell, f func() error) {
	t.Helper()
	err := osthread.Run(func() error {
		if err := c.BindSelf(); err != nil {
			return err
		}
		return f()
	})
	if err != nil {
		t.Error(err)
	}
}

// own lets a test's child start: the test binary, its file systems, the null device.
func own(more ...policy.FileRule) policy.Policy {
	self, _ := os.Executable()
	return policy.Policy{Files: append([]policy.FileRule{
		{Path: self, Access: policy.Read | policy.Execute}, {Path: "/sys", Access: policy.Read}, {Path: "/proc", Access: policy.Read},
		{Path: "/dev/null", Access: policy.Read | policy.Write},
	}, more...)}
}

func child(role, arg string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	c := exec.Command(self)
	c.Env = []string{roleEnv + "=" + role + ":" + arg}
	out, err := c.Output()
	return string(out), err
}

const (
	secret = "the secret"
	public = "public"
)

// tree is a directory with a part a cell may use and parts that it may not.
type tree struct{ root string }

func newTree(t testing.TB) tree {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/file": public, "a/closed/file": secret, "a/readonly/file": public, "a/move": public, "a/remove": public,
		"ab/file": secret, "b/file": secret,
	} {
		path := root + "/" + name
		if err := os.MkdirAll(path[:strings.LastIndex(path, "/")], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"a/link": "/b/file", "a/dirlink": "/b"} {
		if err := os.Symlink(root+to, root+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	return tree{root}
}

func (tr tree) at(name string) string { return tr.root + "/" + name }

func (tr tree) policy() policy.Policy {
	return own(
		policy.FileRule{Path: tr.at("a"), Access: policy.Read | policy.Write},
		policy.FileRule{Path: tr.at("a/closed")},
		policy.FileRule{Path: tr.at("a/readonly"), Access: policy.Read},
	)
}

// readAs reads a file; its canary tells.
func readAs(path string) error {
	data, err := os.ReadFile(path)
	if strings.Contains(string(data), secret) {
		return errors.New("the secret was read")
	}
	return err
}

func denied(what string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w", what, errors.Join(errors.New("it was not denied"), err))
	}
	return nil
}

func listener(t testing.TB, network, address string) int {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("cannot listen on %s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

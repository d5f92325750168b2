package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
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
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if err := shared.close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
		os.Exit(status)
	}))
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
	case "connect": // the process and a thread of it
		err := udp(arg)
		fmt.Print(reason(err), " ", reason(osthread.Run(func() error { return udp(arg) })))
	case "hold":
		if err := hold(arg); err != nil {
			fmt.Println(err)
		}
	case "foreign":
		if err := foreign(arg); err != nil {
			fmt.Print(err)
		}
	case "parent":
		if parent() != nil {
			return 1
		}
	}
	return 0
}

// foreign tries what depends on numbers of threads, and returns what did not fail.
func foreign(cgroup string) error {
	g, err := Load(Options{Kind: Cgroup, Cgroup: cgroup, byThread: true})
	if err == nil {
		return errors.Join(errors.New("bindings by number: they were loaded"), g.Close())
	}
	if !strings.Contains(err.Error(), "first PID namespace") {
		return fmt.Errorf("bindings by number: %w", err)
	}
	claims, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return fmt.Errorf("make a map: %w", err)
	}
	c := &Cell{guard: &Guard{kind: LSM, maps: map[string]*ebpf.Map{"claims": claims}}}
	switch err := c.Claim(unix.Gettid()); {
	case err == nil:
		return errors.New("a claim by number was left")
	case !strings.Contains(err.Error(), "first PID namespace"):
		return fmt.Errorf("a claim by number: %w", err)
	}
	return claims.Close()
}

// udp connects a socket, which sends nothing.
func udp(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return to(unix.AF_INET, unix.SOCK_DGRAM, connect(&unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}))
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

// guards are loaded once for all tests: attaching and detaching takes seconds where the
// processor is interpreted.
type guards struct {
	of     map[Options]*Guard
	cgroup string
	parent string
}

var shared = guards{of: map[Options]*Guard{}}

// ways are how programs can be attached.
var ways = map[string]Options{
	"lsm":              {Kind: LSM},
	"cgroup":           {Kind: Cgroup},
	"cgroup by number": {Kind: Cgroup, byThread: true},
}

// possible skips where the kernel does not take o's programs.
func (s *guards) possible(t testing.TB, o Options) {
	t.Helper()
	if r := probe.Host().Row(probe.BPFLSM); o.Kind == LSM && !r.Works {
		t.Skipf("no eBPF-LSM here: %s", r.Answer)
	}
	if r := probe.Host().Row(probe.BPFConnect4); !r.Works {
		t.Skipf("no eBPF for control groups here: %s", r.Answer)
	}
}

// get loads the programs for o in the tests' group, or skips where that is not possible.
func (s *guards) get(t testing.TB, o Options) *Guard {
	t.Helper()
	s.possible(t, o)
	if g := s.of[o]; g != nil {
		return g
	}
	with := o
	with.Cgroup = s.group(t)
	g, err := Load(with)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	s.of[o] = g
	return g
}

// group is a control group with this process in it, as hosts are.
func (s *guards) group(t testing.TB) string {
	t.Helper()
	if s.cgroup != "" {
		return s.cgroup
	}
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			s.parent = dir
		}
	}
	if s.parent == "" {
		t.Skip("no control groups of version 2 are mounted")
	}
	dir := fmt.Sprintf("%s/pyisolate-guard-test-%d", s.parent, os.Getpid())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("cannot make a control group: %v", err)
	}
	if err := enter(dir); err != nil {
		t.Skipf("cannot enter a control group: %v", err)
	}
	s.cgroup = dir
	return dir
}

func enter(group string) error { return os.WriteFile(group+"/cgroup.procs", []byte("0"), 0) }

func (s *guards) close() error {
	var failed error
	for _, g := range s.of {
		failed = errors.Join(failed, g.Close())
	}
	if s.cgroup != "" {
		failed = errors.Join(failed, enter(s.parent), os.Remove(s.cgroup))
	}
	return failed
}

// guarded has the LSM's programs, or skips.
func guarded(t testing.TB) *Guard {
	t.Helper()
	return shared.get(t, ways["lsm"])
}

// each runs a test with each way to attach.
func each(t *testing.T, f func(*testing.T, *Guard)) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) { f(t, shared.get(t, o)) })
	}
}

func loaded(t testing.TB, o Options) *Guard {
	t.Helper()
	g, err := Load(o)
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

package jail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// probeEnv makes this binary a program in the jail that tries things.
const probeEnv = "PYISOLATE_TEST_PROBE"

func TestMain(m *testing.M) {
	Init()
	if os.Getenv(probeEnv) == sharedMounts {
		os.Exit(stageInSharedMounts())
	}
	if what := os.Getenv(probeEnv); what != "" {
		os.Exit(probe(what))
	}
	goleak.VerifyTestMain(m)
}

// probes say nil when what they try succeeds.
var probes = map[string]func() error{
	"user namespace":  func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"clone namespace": func() error { return cloneNamespace() },
	"mount":           func() error { return unix.Mount("x", "/tmp", "tmpfs", 0, "") },
	"remount":         func() error { return unix.Mount("", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND, "") },
	"umount":          func() error { return unix.Unmount("/usr", unix.MNT_DETACH) },
	"chroot":          func() error { return unix.Chroot("/tmp") },
	"ptrace":          func() error { return unix.PtraceAttach(1) },
	"setuid":          func() error { return setuid() },
	"vsock":           func() error { _, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0); return err },
	"netlink":         func() error { _, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0); return err },
	"crypto socket":   func() error { _, err := unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0); return err },
	"dial":            func() error { return dial() },
	"keyring":         func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); return err },
	"io_uring":        func() error { _, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 8, 0, 0); return errnoOf(e) },
	"write /usr":      func() error { return os.WriteFile("/usr/x", nil, 0o644) },
	"write /":         func() error { return os.WriteFile("/x", nil, 0o644) },
	"read /etc":       func() error { _, err := os.ReadFile("/etc/passwd"); return err },
	"read /root":      func() error { _, err := os.ReadDir("/root"); return err },
	"parent's memory": func() error { _, err := os.Open(fmt.Sprintf("/proc/%d/mem", os.Getppid())); return err },
	"exec in /tmp":    func() error { return execInTmp() },
	"raise a limit":   func() error { return unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: 9999, Max: 9999}) },
	"make a device":   func() error { return unix.Mknod("/tmp/d", unix.S_IFCHR|0o600, 1<<8|3) },
}

func errnoOf(e syscall.Errno) error {
	if e == 0 || e == unix.EFAULT || e == unix.EINVAL { // it was let through to the kernel
		return nil
	}
	return e
}

// setuid: in a user namespace without a root, the kernel says that there is none.
func setuid() error {
	if err := unix.Setuid(0); !errors.Is(err, unix.EINVAL) {
		return err
	}
	return unix.EPERM
}

func cloneNamespace() error {
	return (&exec.Cmd{Path: "/proc/self/exe", Args: []string{"x"}, Env: []string{probeEnv + "=nothing"},
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}}).Run()
}

func dial() error {
	c, err := net.DialTimeout("tcp", os.Getenv("TARGET"), 20*time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err
}

func execInTmp() error {
	data, err := os.ReadFile("/usr/bin/true")
	if err != nil {
		return err
	}
	if err := os.WriteFile("/tmp/copy", data, 0o755); err != nil {
		return fmt.Errorf("before the exec: %w", unix.EIO)
	}
	return exec.Command("/tmp/copy").Run()
}

// refusals are how a jail says no; another error would mean that a probe is broken.
var refusals = []error{unix.EPERM, unix.EACCES, unix.EROFS, unix.ENOENT, unix.EAFNOSUPPORT, unix.ENETUNREACH}

// probe tries one thing, or all, and says how each went.
func probe(what string) int {
	switch what {
	case "nothing":
	case "ids":
		fmt.Print(os.Getpid(), os.Getuid(), os.Geteuid())
	case "all":
		for name := range probes {
			fmt.Printf("%s: %s\n", name, outcome(probes[name]()))
		}
	default:
		fmt.Print(outcome(probes[what]()))
	}
	return 0
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "WORKED"
	case slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) }):
		return "refused: " + err.Error()
	}
	return "BROKEN: " + err.Error()
}

// needJail skips where the kernel gives no complete jail, and says why.
func needJail(t testing.TB) {
	t.Helper()
	_, err := Run(context.Background(), Spec{Path: "/usr/bin/true"})
	if errors.Is(err, capability.Unavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, s Spec) Result {
	t.Helper()
	r, err := Run(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shell has the time that a busy machine takes.
func shell(script string) Spec {
	return Spec{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Wall: time.Minute}
}

// probeSpec runs this test binary in the jail. It is copied to where the jail's user
// can read it, for go test keeps it in a private directory.
func probeSpec(t testing.TB, what string, env ...string) Spec {
	t.Helper()
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "probe")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, data, 0o755)); err != nil {
		t.Fatal(err)
	}
	s := Spec{Path: path, Env: append(env, probeEnv+"="+what), Wall: time.Minute}
	s.Memory = 64 << 40 // a race detector's shadow counts as address space
	s.Processes = 256
	return s
}

func TestRun(t *testing.T) {
	needJail(t)
	s := shell(`read x; echo "out $x $A $0"; echo err >&2; exit 3`)
	s.Stdin, s.Env = []byte("in\nmore"), []string{"A=1"}
	r := run(t, s)
	if r.Exit != 3 || string(r.Stdout) != "out in 1 sh\n" || string(r.Stderr) != "err\n" || r.Killed != "" || r.Signal != "" || r.Duration <= 0 {
		t.Errorf("%+v", r)
	}
	for _, name := range required {
		if !slices.Contains(r.Layers, name) {
			t.Errorf("layer %s is not in %v", name, r.Layers)
		}
	}
}

func TestWhatItSees(t *testing.T) {
	needJail(t)
	r := run(t, shell(`echo /*; echo /tmp/*; echo /dev/*; hostname; env; pwd`))
	want := []string{"/bin", "jail", "PWD=/tmp", "/dev/full /dev/null /dev/random /dev/urandom /dev/zero"}
	for _, w := range want {
		if !strings.Contains(string(r.Stdout), w) {
			t.Errorf("%q is not in %s%s", w, r.Stdout, r.Stderr)
		}
	}
	for _, outer := range []string{"/root", "/home", "/sys", "/var", "HOME", "GO"} {
		if strings.Contains(string(r.Stdout), outer) {
			t.Errorf("it sees %s: %s", outer, r.Stdout)
		}
	}
	// The only processes are its own.
	r = run(t, shell(`cd /proc && echo [0-9]*`))
	for _, pid := range strings.Fields(string(r.Stdout)) {
		if n, err := strconv.Atoi(pid); err == nil && n > 3 {
			t.Errorf("it sees process %d", n)
		}
	}
	r = run(t, shell(`echo hello >/tmp/f && cat /tmp/f; echo x >/dev/null && echo null; head -c 4 /dev/zero | wc -c`))
	if string(r.Stdout) != "hello\nnull\n4\n" {
		t.Errorf("%s%s", r.Stdout, r.Stderr)
	}
	if _, err := os.Stat("/tmp/f"); err == nil {
		t.Error("its /tmp is ours")
	}
}

// Each of these would be a way out, or into parts of the kernel that a program has
// no business in.
func TestWhatIsRefused(t *testing.T) {
	needJail(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	spec := probeSpec(t, "ids")
	if r := run(t, spec); string(r.Stdout) != "1 65534 65534" {
		t.Fatalf("the probe does not run: %+v: %s", r, r.Stderr)
	}
	spec.Env = []string{probeEnv + "=all", "TARGET=" + l.Addr().String()}
	r := run(t, spec)
	lines := strings.Split(strings.TrimSpace(string(r.Stdout)), "\n")
	if len(lines) != len(probes) {
		t.Errorf("%d probes gave %d answers: exit %d %s, %s", len(probes), len(lines), r.Exit, r.Signal, r.Stderr)
	}
	for _, line := range lines {
		if !strings.Contains(line, ": refused: ") {
			t.Error(line)
		}
	}
}

// The same probes get through where there is no jail, so the test above can fail.
func TestTheProbesWorkOutside(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, what := range []string{"read /etc", "dial"} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{probeEnv + "=" + what, "TARGET=" + l.Addr().String()}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "WORKED" {
			t.Errorf("%s: %s %v", what, out, err)
		}
	}
}

func TestLimits(t *testing.T) {
	needJail(t)
	for _, c := range []struct {
		name   string
		spec   Spec
		change func(*Spec)
		check  func(Result) bool
	}{
		{"wall", shell("sleep 60"), func(s *Spec) { s.Wall = 50 * time.Millisecond }, func(r Result) bool { return r.Killed == "wall" && r.Signal == "SIGKILL" }},
		{"wall, over before it begins", shell("echo ran"), func(s *Spec) { s.Wall = 1 }, func(r Result) bool {
			return r.Killed == "wall" && r.Signal == "SIGKILL" && r.Exit == -1 && len(r.Stdout) == 0
		}},
		{"wall, ignoring signals and with children", shell("trap '' TERM INT HUP; (sleep 60 & sleep 60) & wait"), func(s *Spec) { s.Wall = 50 * time.Millisecond }, func(r Result) bool { return r.Killed == "wall" }},
		{"output", shell("while :; do echo xxxxxxxxxxxxxxxx; done"), func(s *Spec) { s.OutputBytes = 10_000 }, func(r Result) bool { return r.Killed == "output" && len(r.Stdout) == 10_000 }},
		{"errors", shell("while :; do echo xxxxxxxxxxxxxxxx >&2; done"), func(s *Spec) { s.OutputBytes = 10_000 }, func(r Result) bool { return r.Killed == "output" && len(r.Stderr) == 10_000 }},
		{"exactly the output", shell("echo 123456789"), func(s *Spec) { s.OutputBytes = 10 }, func(r Result) bool { return r.Killed == "" && r.Exit == 0 && len(r.Stdout) == 10 }},
		{"cpu", shell("while :; do :; done"), func(s *Spec) { s.CPU = time.Second }, func(r Result) bool { return r.Killed == "" && r.Exit != 0 }},
		{"tmp", shell("head -c 2000000 /dev/zero >/tmp/f"), func(s *Spec) { s.Tmp = 1 << 20 }, func(r Result) bool { return r.Exit != 0 }},
		{"no tmp", shell("echo x >/tmp/f"), func(s *Spec) { s.Tmp = -1 }, func(r Result) bool { return r.Exit != 0 }},
		{"files", shell("exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null && echo opened"), func(s *Spec) { s.Files = 6 }, func(r Result) bool { return r.Exit != 0 && len(r.Stdout) == 0 }},
		{"processes", shell("sleep 5 & sleep 5 & sleep 5 & sleep 5 & echo all"), func(s *Spec) { s.Processes = 3 }, func(r Result) bool { return r.Exit != 0 && len(r.Stdout) == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.change(&c.spec)
			if r := run(t, c.spec); !c.check(r) {
				t.Errorf("%+v: %.200s %.200s", r.Killed, r.Stdout, r.Stderr)
			}
		})
	}
	t.Run("memory", func(t *testing.T) {
		s := shell(`x=xxxxxxxxxxxxxxxx; while :; do x="$x$x"; done`)
		s.Memory = 64 << 20
		if r := run(t, s); r.Killed != "" || r.Exit == 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestCancelling(t *testing.T) {
	needJail(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := Run(ctx, shell("sleep 60"))
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Nothing of what it started is left, even if it has left its group and closed
// what it inherited.
func TestNothingIsLeft(t *testing.T) {
	needJail(t)
	mark := fmt.Sprintf("987%d", os.Getpid())
	run(t, shell("setsid sleep "+mark+" </dev/null >/dev/null 2>&1 & sleep 0.05"))
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		if data, _ := os.ReadFile(path); bytes.Contains(data, []byte(mark)) {
			t.Errorf("%s is still there: %q", path, data)
		}
	}
}

// Every required layer, when it is refused, keeps the program from running; and with
// best effort it runs and the result says what is missing.
func TestFailsClosed(t *testing.T) {
	needJail(t)
	for _, name := range required {
		t.Run(name, func(t *testing.T) {
			s := shell("echo ran")
			s.deny = []string{name}
			if r, err := Run(context.Background(), s); !errors.Is(err, capability.Unavailable) || len(r.Stdout) != 0 {
				t.Errorf("%+v %v", r, err)
			}
			s.BestEffort = true
			r := run(t, s)
			if string(r.Stdout) != "ran\n" || len(r.Missing) == 0 || slices.Contains(r.Layers, name) {
				t.Errorf("best effort: %+v %s", r, r.Stderr)
			}
		})
	}
}

const sharedMounts = "stage in shared mounts"

// The second stage, started without a mount namespace of its own, leaves the mounts
// it finds alone, whatever else it can do. The mounts here are those of a process
// made for this, so that a failure hurts nobody.
func TestTheStageLeavesOtherMountsAlone(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{probeEnv + "=" + sharedMounts}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("no user namespaces: %v", err)
	}
	if err != nil || string(out) != "left alone" {
		t.Errorf("%s %v", out, err)
	}
}

// stageInSharedMounts is root in a user and mount namespace of its own, and starts
// the second stage with all it needs to change these mounts, but without a new
// mount namespace.
func stageInSharedMounts() int {
	mounts := func() string { data, _ := os.ReadFile("/proc/self/mountinfo"); return string(data) }
	before := mounts()
	spec := Spec{Path: "/usr/bin/true"}.withDefaults()
	config, err := configFile(spec, attempt{user: true})
	if err != nil {
		fmt.Print(err)
		return 1
	}
	report, theirs, err := os.Pipe()
	if err != nil {
		fmt.Print(err)
		return 1
	}
	p := newProcess(context.Background(), spec, attempt{}, config, theirs)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}}
	if err := p.cmd.Start(); err != nil {
		fmt.Print(err)
		return 1
	}
	_ = theirs.Close()
	said, err := readReport(report)
	_ = p.cmd.Wait()
	if err != nil || !said.Layers || !strings.Contains(said.Fatal, layerMount+": it is the node's") || !strings.Contains(said.Fatal, "left alone") {
		fmt.Printf("the stage said %+v, %v", said, err)
		return 1
	}
	if before == "" || mounts() != before {
		fmt.Print("the mounts changed: ", mounts())
		return 1
	}
	fmt.Print("left alone")
	return 0
}

func TestBestEffortEndsTheGroup(t *testing.T) {
	s := shell("sleep 60 & sleep 60")
	s.BestEffort, s.Wall, s.deny = true, 50*time.Millisecond, []string{layerRoot}
	if r := run(t, s); r.Killed != "wall" {
		t.Errorf("%+v", r)
	}
}

func TestErrors(t *testing.T) {
	for name, s := range map[string]Spec{
		"relative":  {Path: "true"},
		"unclean":   {Path: "/usr/../bin/true"},
		"root":      {Path: "/usr/bin/true", ReadOnly: []string{"/"}},
		"proc":      {Path: "/usr/bin/true", ReadOnly: []string{"/proc"}},
		"in proc":   {Path: "/proc/self/exe"},
		"dev":       {Path: "/usr/bin/true", ReadOnly: []string{"/dev/shm"}},
		"NUL":       {Path: "/usr/bin/true", Args: []string{"a\x00b"}},
		"negative":  {Path: "/usr/bin/true", Wall: -1},
		"env's NUL": {Path: "/usr/bin/true", Env: []string{"A=\x00"}},
	} {
		if _, err := Run(context.Background(), s); !errors.Is(err, capability.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	needJail(t)
	for _, path := range []string{"/usr/bin/no-such-program", "/usr/bin"} {
		r, err := Run(context.Background(), Spec{Path: path})
		if !errors.Is(err, capability.Failed) {
			t.Errorf("%s: %+v %v", path, r, err)
		}
	}
}

func BenchmarkRunTrue(b *testing.B) {
	needJail(b)
	for b.Loop() {
		if _, err := Run(context.Background(), Spec{Path: "/usr/bin/true"}); err != nil {
			b.Fatal(err)
		}
	}
}

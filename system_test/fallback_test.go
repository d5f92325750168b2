package systemtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
)

// otherZygote makes hosts whose zygote is another command.
func otherZygote(command string) func(host.Dist, uint64) (host.Executor, error) {
	return func(d host.Dist, namespaces uint64) (host.Executor, error) {
		return host.NewZygote(host.ZygoteConfig{Dist: d, Namespaces: namespaces, Command: func() *exec.Cmd {
			return exec.Command(command, "zygote-that-cannot-fork")
		}})
	}
}

// zygoteThatCannotFork becomes a zygote to which the kernel refuses clone3.
func zygoteThatCannotFork() int {
	runtime.LockOSThread()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_CLONE3},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	}
	if err == nil {
		err = syscall.Exec("/proc/self/exe", []string{host.ZygoteName}, nil)
	}
	fmt.Fprintln(os.Stderr, "become a zygote that cannot fork:", err)
	return 1
}

// What does not reach a process of cells whole confines nobody: it does not start.
func TestConfigurationThatIsCutOff(t *testing.T) {
	p, err := python()
	if err != nil {
		t.Fatal(err)
	}
	d := host.Dist{Home: p.Home, Lib: p.Lib, Stdlib: p.Stdlib, Seccomp: make([]byte, 40_000)}
	z, err := host.NewZygote(host.ZygoteConfig{Dist: d})
	if err == nil {
		_ = z.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "larger than 64 KiB") {
		t.Errorf("a configuration of more than 80 000 bytes: %v", err)
	}
}

// Everything a forked cell does, one that is executed does too.
func TestExecutedCell(t *testing.T) {
	l := newLauncher(t, launch.Config{NoZygote: true})
	heard := &recorder{answer: func(q cell.Request) (cell.Value, error) { return cell.JSONValue(q.Capability + "/" + q.Action) }}
	c := spawn(t, l, cell.Spec{Backend: cell.Process, Sink: heard, Imports: []string{"json", "asyncio"}})
	if err := c.Send(soon(t), cell.BytesValue([]byte("in"))); err != nil {
		t.Fatal(err)
	}
	got := posts(t, c, strings.Join([]string{
		"import json, asyncio",
		"post(json.loads('[1]'))",
		"post(len(recv()))",
		"log('info', 'hi')",
		"metric('m', 2.5)",
		"post(request('net', 'open', {'a': 1}))",
		"def twice(x): return 2 * x",
		"try: open('/etc/passwd')\nexcept Exception as e: post(type(e).__name__)",
	}, "\n"))
	if want := `[1] 2 "net/open" "PolicyDenied"`; strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	heard.mu.Lock()
	if len(heard.logs) != 1 || heard.logs[0].Message != "hi" || len(heard.samples) != 1 || heard.samples[0].Value != 2.5 || len(heard.denials) != 1 {
		t.Errorf("the sink heard %v, %v, %v", heard.logs, heard.samples, heard.denials)
	}
	heard.mu.Unlock()
	v, err := c.Call(soon(t), cell.Invocation{Target: "twice", Args: []byte(`[21]`)})
	if err != nil || v.String() != "42" {
		t.Errorf("call: %s, %v", v, err)
	}
	forked := report(t, spawn(t, newLauncher(t, launch.Config{}), cell.Spec{Backend: cell.Process}))
	r := report(t, c)
	if r.Start != "exec" || forked.Start != "fork" {
		t.Errorf("the cells began by %q and %q", r.Start, forked.Start)
	}
	slices.Sort(r.Namespaces)
	slices.Sort(forked.Namespaces)
	if !slices.Equal(r.Namespaces, forked.Namespaces) {
		t.Errorf("executed it has namespaces %v, forked %v", r.Namespaces, forked.Namespaces)
	}
	if why := l.Stats().NoZygote; !strings.Contains(why, "configuration") {
		t.Errorf("the reason is %q", why)
	}
}

func TestExecutedCellEnds(t *testing.T) {
	l := newLauncher(t, launch.Config{NoZygote: true, PoolSize: -1, KillGrace: patient})
	t.Run("limits", func(t *testing.T) {
		c := spawn(t, l, cell.Spec{Backend: cell.Process, Limits: cell.Limits{Memory: 32 << 20, CPU: 200 * time.Millisecond}})
		if err := c.Exec(soon(t), source("x = bytes(10**9)")); !errors.Is(err, cell.MemoryExceeded) {
			t.Errorf("memory: %v", err)
		}
		if err := c.Exec(soon(t), source("while True: pass")); !errors.Is(err, cell.CPUExceeded) {
			t.Errorf("CPU: %v", err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		c := spawn(t, l, cell.Spec{Backend: cell.Process, Limits: cell.Limits{Wall: 50 * time.Millisecond}})
		if err := c.Exec(soon(t), source("recv()")); !errors.Is(err, cell.Timeout) {
			t.Errorf("a guest asleep: %v", err)
		}
		if err := c.Exec(soon(t), source("while True: pass")); !errors.Is(err, cell.Timeout) {
			t.Errorf("a guest at work: %v", err)
		}
		relimit(t, c, cell.Limits{})
		alive(t, c)
	})
	t.Run("stuck in C", func(t *testing.T) {
		l := newLauncher(t, launch.Config{NoZygote: true, PoolSize: -1})
		c := spawn(t, l, cell.Spec{Backend: cell.Process, Limits: cell.Limits{Wall: 50 * time.Millisecond}})
		if err := c.Exec(soon(t), source("sum(range(10**12))")); !errors.Is(err, cell.Timeout) {
			t.Errorf("got %v", err)
		}
		<-c.Done()
	})
	t.Run("killed", func(t *testing.T) {
		c := spawn(t, l, cell.Spec{Backend: cell.Process})
		pids := cellPIDs(t, report(t, c).HostPID)
		c.Kill("enough")
		if err := c.Close(soon(t)); err != nil {
			t.Error(err)
		}
		for _, pid := range pids {
			// It runs no more; its parent may be a little later to reap it.
			await.That(t, "the process is gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
		}
	})
	t.Run("crashed", func(t *testing.T) {
		c := spawn(t, l, cell.Spec{Backend: cell.Process, Tenant: "crashing"})
		pids := cellPIDs(t, report(t, c).HostPID)
		if len(pids) != 1 {
			t.Fatalf("one cell has processes %v", pids)
		}
		if err := unix.Tgkill(pids[0], pids[0], syscall.SIGSEGV); err != nil {
			t.Fatal(err)
		}
		<-c.Done()
		if err := c.Err(); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "SIGSEGV") {
			t.Errorf("got %v", err)
		}
		alive(t, spawn(t, l, cell.Spec{Backend: cell.Process, Tenant: "crashing"}))
	})
}

// The kernel refuses the zygote or its forks; cells run all the same.
func TestNoUsableZygote(t *testing.T) {
	for name, tc := range map[string]struct{ zygote, why string }{
		"cannot be started": {"/nonexistent", "start zygote: fork/exec /nonexistent"},
		"may not fork":      {"/proc/self/exe", "could not fork a cell: operation not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLauncher(t, launch.Config{Executable: []string{"/proc/self/exe", "host-other-zygote", tc.zygote}})
			for range 4 {
				c := spawn(t, l, cell.Spec{Backend: cell.Process})
				alive(t, c)
				if r := report(t, c); r.Start != "exec" {
					t.Errorf("it began by %q", r.Start)
				}
				if err := c.Close(soon(t)); err != nil {
					t.Error(err)
				}
			}
			if why := l.Stats().NoZygote; !strings.Contains(why, tc.why) {
				t.Errorf("the reason is %q", why)
			}
		})
	}
}

func killZygote(t *testing.T, hostPID int) {
	t.Helper()
	for _, pid := range called(processesUnder(t, hostPID), "pyisolate-zygo") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

func TestZygoteKilledAgainAndAgain(t *testing.T) {
	l := newLauncher(t, launch.Config{PoolSize: -1})
	var starts []string
	for range 5 {
		c := spawn(t, l, cell.Spec{Backend: cell.Process})
		alive(t, c)
		r := report(t, c)
		starts = append(starts, r.Start)
		if r.Start == "fork" {
			killZygote(t, r.HostPID)
			<-c.Done()
			if err := c.Err(); !errors.Is(err, cell.CellGone) || !strings.Contains(err.Error(), "zygote died") {
				t.Errorf("its cell ends with %v", err)
			}
		}
	}
	if got := strings.Join(starts, " "); got != "fork fork fork exec exec" {
		t.Errorf("cells began by %s", got)
	}
	if s := l.Stats(); !strings.Contains(s.NoZygote, "SIGKILL") || s.Hosts != 1 || s.Restarts != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Whenever the zygote dies, a spawn gives a cell.
func TestSpawnsWhileZygotesDie(t *testing.T) {
	l := newLauncher(t, launch.Config{})
	first := report(t, spawn(t, l, cell.Spec{Backend: cell.Process}))
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := l.Spawn(context.Background(), cell.Spec{Backend: cell.Process})
				if err != nil {
					t.Errorf("spawn: %v", err)
					return
				}
				_ = c.Close(context.Background())
			}
		})
	}
	for l.Stats().NoZygote == "" && !t.Failed() && ctx.Err() == nil {
		killZygote(t, first.HostPID)
		time.Sleep(30 * time.Millisecond)
	}
	cancel()
	all.Wait()
	alive(t, spawn(t, l, cell.Spec{Backend: cell.Process}))
}

func TestBrokenPythonIsNotTakenForABrokenZygote(t *testing.T) {
	for _, without := range []bool{false, true} {
		p, err := python()
		if err != nil {
			t.Fatal(err)
		}
		p.Lib = os.DevNull
		l, err := launch.New(launch.Config{Python: p, NoZygote: without})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Spawn(soon(t), cell.Spec{Backend: cell.Process}); err == nil || !strings.Contains(err.Error(), "python did not start: open libpython") {
			t.Errorf("without a zygote %v: %v", without, err)
		}
		if err := l.Close(soon(t)); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkSpawnProcess(b *testing.B) {
	for name, without := range map[string]bool{"forked": false, "executed": true} {
		b.Run(name, func(b *testing.B) {
			l := newLauncher(b, launch.Config{NoZygote: without, PoolSize: -1})
			alive(b, spawn(b, l, cell.Spec{Backend: cell.Process})) // the host is there
			for b.Loop() {
				c, err := l.Spawn(b.Context(), cell.Spec{Backend: cell.Process})
				if err != nil {
					b.Fatal(err)
				}
				alive(b, c)
				b.StopTimer()
				_ = c.Close(b.Context())
				b.StartTimer()
			}
		})
	}
}

package seccomp

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

// childEnv makes the test binary confine itself and make one call.
const childEnv = "PYISOLATE_SECCOMP_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		os.Exit(child(what))
	}
	goleak.VerifyTestMain(m)
}

func filter(t testing.TB, o Options) Program {
	t.Helper()
	if _, err := Here(); err != nil {
		t.Skip(err)
	}
	p, err := Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestThreadInstall: one thread is confined and the others are not.
func TestThreadInstall(t *testing.T) {
	for _, b := range Backends {
		t.Run(string(b), func(t *testing.T) {
			p := filter(t, Options{Backend: b})
			secret := t.TempDir() + "/secret"
			err := osthread.Run(func() error {
				if err := p.Install(ThisThread); err != nil {
					return err
				}
				if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
					return fmt.Errorf("files: %w", err)
				}
				for name, call := range map[string]func() error{
					"unshare": func() error { return unix.Unshare(unix.CLONE_NEWUTS) },
					"unlink":  func() error { return unix.Unlink(secret) },
					"chmod":   func() error { return unix.Chmod(secret, 0o644) },
					"kill":    func() error { return unix.Kill(os.Getpid(), 0) },
					"sigkill": func() error { return unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1) },
					"socket": func() error {
						fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
						if err == nil {
							_ = unix.Close(fd)
						}
						return err
					},
				} {
					if err := call(); !errors.Is(err, unix.EPERM) {
						return fmt.Errorf("%s: %w", name, err)
					}
				}
				if _, _, e := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0); e != unix.ENOSYS {
					return fmt.Errorf("clone3: %w", e)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if err := unix.Unlink(secret); err != nil {
				t.Errorf("another thread: %v", err)
			}
		})
	}
}

// TestOwnThreadOnly: signal 0 stands for any; the filter judges before the kernel does.
func TestOwnThreadOnly(t *testing.T) {
	p := filter(t, Options{Backend: SubInterpreter})
	var sibling = make(chan int)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		sibling <- unix.Gettid()
		<-done
	}()
	other := <-sibling
	defer close(done)
	err := osthread.Run(func() error {
		if err := p.Install(ThisThread); err != nil {
			return err
		}
		if err := unix.Tgkill(os.Getpid(), other, WakeSignal); !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("signal a sibling: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNarrower: a second program takes away what the first one gave.
func TestNarrower(t *testing.T) {
	wide, narrow := filter(t, Options{Backend: Process, Grants: Write}), filter(t, Options{Backend: Process})
	dir := t.TempDir()
	err := osthread.Run(func() error {
		if err := wide.Install(ThisThread); err != nil {
			return err
		}
		if err := unix.Mkdir(dir+"/a", 0o755); err != nil {
			return fmt.Errorf("with the first: %w", err)
		}
		if err := narrow.Install(ThisThread); err != nil {
			return err
		}
		if err := unix.Mkdir(dir+"/b", 0o755); !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("with the second: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// children are what a process does under the filter, and how it ends.
var children = map[string]struct {
	do   func()
	dies bool
}{
	"nothing":        {func() {}, false},
	"ptrace":         {func() { raw(unix.SYS_PTRACE, 0) }, true},
	"bpf":            {func() { raw(unix.SYS_BPF, 0) }, true},
	"io_uring":       {func() { raw(unix.SYS_IO_URING_SETUP, 1) }, true},
	"mount":          {func() { raw(unix.SYS_MOUNT, 0) }, true},
	"perf":           {func() { raw(unix.SYS_PERF_EVENT_OPEN, 0) }, true},
	"keyctl":         {func() { raw(unix.SYS_KEYCTL, 0) }, true},
	"userfaultfd":    {func() { raw(unix.SYS_USERFAULTFD, 0) }, true},
	"process memory": {func() { raw(unix.SYS_PROCESS_VM_WRITEV, 1) }, true},
	"exec":           {func() { raw(unix.SYS_EXECVE, 0) }, false},
	"unshare":        {func() { raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER) }, false},
	"not yet known":  {func() { raw(2000, 0) }, false},
}

func raw(n, arg uintptr) { _, _, _ = unix.RawSyscall(n, arg, 0, 0) }

// child returns 7 when it lives.
func child(what string) int {
	c := children[what]
	if what == "x32" {
		c.do = func() { raw(x32Bit|unix.SYS_GETPID, 0) }
	}
	debug.SetGCPercent(-1)
	p, err := Compile(Options{Backend: Process, Grants: Threads})
	if err == nil {
		err = p.Install(AllThreads)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c.do()
	fmt.Fprintln(os.Stdout, "lives")
	return 7
}

// TestProcessInstall applies the filter to all threads of a real process.
func TestProcessInstall(t *testing.T) {
	filter(t, Options{Backend: Process})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]bool{}
	for name, c := range children {
		cases[name] = c.dies
	}
	if runtime.GOARCH == "amd64" {
		cases["x32"] = true
	}
	for name, dies := range cases {
		t.Run(name, func(t *testing.T) {
			c := exec.Command(self)
			c.Env = append(os.Environ(), childEnv+"="+name)
			var stderr bytes.Buffer
			c.Stderr = &stderr
			out, err := c.Output()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			status := exit.Sys().(syscall.WaitStatus)
			switch {
			case dies && (!status.Signaled() || status.Signal() != unix.SIGSYS):
				t.Errorf("it was not killed: status %#x, output %q %s", status, out, &stderr)
			case !dies && (status.ExitStatus() != 7 || string(out) != "lives\n"):
				t.Errorf("it did not live: status %#x, output %q %s", status, out, &stderr)
			}
		})
	}
}

// pythonProgram uses what cells use: files, threads, locks, mappings, time, select, a
// pair of sockets, and much of the standard library.
const pythonProgram = `
import asyncio, concurrent.futures, decimal, hashlib, json, mmap, os, queue, random, re, selectors, socket, sqlite3, tempfile, threading, time, zlib
assert len(mmap.mmap(-1, 8192)) == 8192
assert open(os.__file__).read(10)
with open('/dev/null', 'w') as f: f.write('x'); f.isatty()
for refused in (os.fork, lambda: os.kill(os.getpid(), 0), lambda: socket.socket(), lambda: os.unshare(os.CLONE_NEWUSER) if hasattr(os, 'unshare') else os.fork()):
    try: refused(); raise SystemExit('not refused')
    except PermissionError: pass
q = queue.Queue(); t = threading.Thread(target=q.put, args=(7,)); t.start(); assert q.get(timeout=5) == 7; t.join()
with concurrent.futures.ThreadPoolExecutor(4) as pool: assert sum(pool.map(len, ['a', 'bb'])) == 3
async def nap():
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(str, 5)
assert asyncio.run(nap()) == '5'
a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'
s = selectors.DefaultSelector(); s.register(b, selectors.EVENT_READ); assert not s.select(0.001)
assert sqlite3.connect(':memory:').execute('select 1').fetchone() == (1,)
time.sleep(0.001); random.random(); hashlib.sha256(b'').digest(); zlib.compress(b'x' * 1000000)
list(os.scandir('/')); os.stat('/'); os.listdir('/proc/self/fd'); os.cpu_count(); os.times(); os.urandom(8); x = bytearray(300 << 20); del x
print('done')
`

// TestPython runs a Python of the machine under the filter of a process cell. Its
// filter must let it be executed, which that of a cell does not.
func TestPython(t *testing.T) {
	arch, err := Here()
	if err != nil {
		t.Skip(err)
	}
	// The one in the path may be a script that starts the real one.
	python, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Skipf("there is no python3 on this machine: %v", err)
	}
	o := Options{Backend: Process, Arch: arch, Grants: Threads}
	of, err := decisions(o)
	if err != nil {
		t.Fatal(err)
	}
	// To start it: os/exec's fork, and what the loader calls before there would be a
	// filter in a cell.
	allow := func(name string) {
		if n, ok := arch.Number(name); ok {
			of[n] = decision{action: Allow}
		}
	}
	clone, _ := arch.Number("clone")
	of[clone] = decision{Refused, append(of[clone].clauses, clause{all(0, unix.CLONE_VFORK)})}
	allow("execve")
	allow("arch_prctl")
	p, err := assemble(arch, of)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	command := exec.Command(strings.TrimSpace(string(python)), "-I", "-c", pythonProgram)
	command.Stdout, command.Stderr = &out, &out
	err = osthread.Run(func() error {
		if err := p.Install(ThisThread); err != nil {
			return err
		}
		return command.Run()
	})
	if err != nil || strings.TrimSpace(out.String()) != "done" {
		t.Errorf("%v\n%s", err, &out)
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := compile(Options{Backend: Process, Arch: AMD64, Grants: AllGrants}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInstall(b *testing.B) {
	p := filter(b, Options{Backend: SubInterpreter})
	for b.Loop() {
		if err := osthread.Run(func() error { return p.Install(ThisThread) }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall is what the filter costs a call: getppid is allowed whatever its
// arguments, which the kernel remembers; fcntl is judged each time.
func BenchmarkCall(b *testing.B) {
	p := filter(b, Options{Backend: SubInterpreter})
	calls := map[string]func(){
		"getppid": func() { _, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0) },
		"fcntl":   func() { _, _, _ = unix.RawSyscall(unix.SYS_FCNTL, 1, unix.F_GETFD, 0) },
		"fstat": func() {
			var s unix.Stat_t
			_, _, _ = unix.RawSyscall(unix.SYS_FSTAT, 1, uintptr(unsafe.Pointer(&s)), 0)
		},
	}
	for name, call := range calls {
		for _, filtered := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/filtered=%v", name, filtered), func(b *testing.B) {
				err := osthread.Run(func() error {
					if filtered {
						if err := p.Install(ThisThread); err != nil {
							return err
						}
					}
					for b.Loop() {
						call()
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

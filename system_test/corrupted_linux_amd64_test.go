package systemtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
)

// A guest with corrupted memory makes any system call it likes: here, the test makes them
// for it, on the cell's own idle thread, past Python and the audit hook. What the kernel
// answers is the boundary.
func TestCorruptedGuest(t *testing.T) {
	const refused = syscall.Errno(1 << 12) // by one layer or the other
	attempts := map[string]struct {
		call syscall.Errno // number
		path string        // goes into the argument that is pathArgument
		args [4]uint64
		want syscall.Errno // 0: it works
	}{
		"find out who one is":         {call: unix.SYS_GETPID},
		"read Python's own library":   {unix.SYS_OPENAT, "STDLIB/os.py", [4]uint64{atFDCWD, pathArgument, unix.O_RDONLY}, 0},
		"read a file of the host":     {unix.SYS_OPENAT, "/etc/passwd", [4]uint64{atFDCWD, pathArgument, unix.O_RDONLY}, unix.EACCES},
		"list a directory":            {unix.SYS_OPENAT, "/", [4]uint64{atFDCWD, pathArgument, unix.O_RDONLY | unix.O_DIRECTORY}, unix.EACCES},
		"read another's memory":       {unix.SYS_OPENAT, "/proc/1/mem", [4]uint64{atFDCWD, pathArgument, unix.O_RDWR}, unix.EACCES},
		"make a file":                 {unix.SYS_OPENAT, "/tmp/corrupted", [4]uint64{atFDCWD, pathArgument, unix.O_CREAT | unix.O_WRONLY, 0o600}, refused},
		"remove a file":               {unix.SYS_UNLINK, "/tmp/canary", [4]uint64{pathArgument}, unix.EPERM},
		"connect":                     {unix.SYS_SOCKET, "", [4]uint64{unix.AF_INET, unix.SOCK_STREAM}, unix.EPERM},
		"speak to a container daemon": {unix.SYS_SOCKET, "", [4]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, unix.EPERM},
		"execute a program":           {unix.SYS_EXECVE, "/bin/true", [4]uint64{pathArgument}, unix.EPERM},
		"fork":                        {unix.SYS_CLONE, "", [4]uint64{uint64(unix.SIGCHLD)}, unix.EPERM},
		"hide flags from the filter":  {unix.SYS_CLONE3, "", [4]uint64{}, unix.ENOSYS},
		"run what it wrote":           {unix.SYS_MPROTECT, "", [4]uint64{stackArgument, 4096, unix.PROT_READ | unix.PROT_EXEC}, unix.EPERM},
		"signal its parent":           {unix.SYS_KILL, "", [4]uint64{1, uint64(unix.SIGKILL)}, unix.EPERM},
		"change its namespaces":       {unix.SYS_SETNS, "", [4]uint64{0, 0}, refused},
	}
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		p, err := python()
		if err != nil {
			t.Fatal(err)
		}
		c := spawn(t, l, cell.Spec{Backend: b, Tenant: "corrupted"})
		r := report(t, c)
		for _, layer := range []string{"landlock", "seccomp"} {
			if !active(r, layer) {
				t.Skipf("this kernel gives no %s: %+v", layer, r.Confinement)
			}
		}
		for name, a := range attempts {
			path := strings.Replace(a.path, "STDLIB", p.Stdlib, 1)
			got, err := inject(t, cellThread(t, r.HostPID), uint64(a.call), path, a.args)
			switch {
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case got == a.want, a.want == refused && (got == unix.EPERM || got == unix.EACCES):
			default:
				t.Errorf("%s: the kernel answers %v, want %v", name, got, a.want)
			}
		}
		alive(t, c)
	})
}

// A guest that writes to its host's memory has another thread of that host act for it,
// which no cell's filter covers: the host's own does.
func TestCorruptedHost(t *testing.T) {
	c := spawn(t, newLauncher(t, launch.Config{PoolSize: -1}), cell.Spec{Tenant: "corrupted"})
	r := report(t, c)
	if !active(r, "seccomp") {
		t.Skip("this kernel gives no seccomp")
	}
	for name, a := range map[string]struct {
		call uint64
		path string
		args [4]uint64
		want syscall.Errno
	}{
		"find out who one is": {unix.SYS_GETPID, "", [4]uint64{}, 0},
		"execute a program":   {unix.SYS_EXECVE, "/bin/true", [4]uint64{pathArgument}, unix.EPERM},
		"fork":                {unix.SYS_CLONE, "", [4]uint64{uint64(unix.SIGCHLD)}, unix.EPERM},
		"connect":             {unix.SYS_SOCKET, "", [4]uint64{unix.AF_INET, unix.SOCK_STREAM}, unix.EPERM},
		"speak to a daemon":   {unix.SYS_SOCKET, "", [4]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, unix.EPERM},
		"make a file":         {unix.SYS_OPENAT, "/tmp/corrupted", [4]uint64{atFDCWD, pathArgument, unix.O_CREAT | unix.O_WRONLY, 0o600}, unix.EPERM},
		"remove a file":       {unix.SYS_UNLINK, "/tmp/canary", [4]uint64{pathArgument}, unix.EPERM},
		"run what it wrote":   {unix.SYS_MPROTECT, "", [4]uint64{stackArgument, 4096, unix.PROT_READ | unix.PROT_EXEC}, unix.EPERM},
		"become another user": {unix.SYS_SETRESUID, "", [4]uint64{1, 1, 1}, unix.EPERM},
		"leave a namespace":   {unix.SYS_SETNS, "", [4]uint64{}, unix.EPERM},
	} {
		got, err := inject(t, r.HostPID, a.call, a.path, a.args) // its first thread, which is Go's
		if err != nil || got != a.want {
			t.Errorf("%s: the kernel answers %v, %v; want %v", name, got, err, a.want)
		}
	}
	alive(t, c)
	if _, err := inject(t, r.HostPID, unix.SYS_PTRACE, "", [4]uint64{}); !errors.Is(err, errTraceeDied) {
		t.Errorf("what nobody needs is answered: %v", err)
	}
	<-c.Done()
}

// What no Python and no C library calls ends the process, so that nobody can try more.
func TestCorruptedGuestIsKilled(t *testing.T) {
	l := newLauncher(t, launch.Config{PoolSize: -1})
	other := spawn(t, l, cell.Spec{Backend: cell.Process})
	if !active(report(t, other), "seccomp") {
		t.Skip("this kernel gives no seccomp")
	}
	for name, call := range map[string]uint64{"ptrace": unix.SYS_PTRACE, "bpf": unix.SYS_BPF, "mount": unix.SYS_MOUNT,
		"io_uring": unix.SYS_IO_URING_SETUP, "a kernel module": unix.SYS_INIT_MODULE, "x32": 0x40000000 | unix.SYS_GETPID} {
		t.Run(name, func(t *testing.T) {
			c := spawn(t, newLauncher(t, launch.Config{PoolSize: -1}), cell.Spec{Backend: cell.Process})
			if _, err := inject(t, cellThread(t, report(t, c).HostPID), call, "", [4]uint64{}); !errors.Is(err, errTraceeDied) {
				t.Errorf("the call was answered: %v", err)
			}
			<-c.Done()
			if err := c.Err(); err == nil || !strings.Contains(err.Error(), "SIGSYS") {
				t.Errorf("the cell ended with %v", err)
			}
		})
	}
	alive(t, other)
}

func active(r cell.Report, layer string) bool {
	if r.Confinement == nil {
		return false
	}
	for _, l := range r.Confinement.Layers {
		if l.Name == layer {
			return l.Active
		}
	}
	return false
}

// cellThread is the idle thread of the one claimed cell in or below a host: of those
// that are called so, the one that has used most.
func cellThread(t *testing.T, hostPID int) int {
	t.Helper()
	best, most := 0, -1
	for _, p := range append(processesUnder(t, hostPID), process{pid: hostPID}) {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/stat", p.pid))
		for _, path := range stats {
			data, _ := os.ReadFile(path)
			_, _, ok := strings.Cut(string(data), "(pyisolate-cell) ")
			sched, err := os.ReadFile(filepath.Join(filepath.Dir(path), "schedstat"))
			if !ok || err != nil {
				continue
			}
			used, _ := strconv.Atoi(strings.Fields(string(sched))[0])
			tid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if used > most {
				best, most = tid, used
			}
		}
	}
	if best == 0 {
		t.Fatal("there is no cell")
	}
	return best
}

const (
	atFDCWD       = ^uint64(0) - 99
	pathArgument  = 1 << 60 // stands for where the path is
	stackArgument = 1 << 61 // for a page of the stack
)

var errTraceeDied = errors.New("the process was killed")

// inject has a thread that sleeps in a system call make another one, and go on sleeping.
// It returns the error that the kernel answered.
func inject(t *testing.T, tid int, call uint64, path string, args [4]uint64) (syscall.Errno, error) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, now unix.PtraceRegs
	// Only in a system call there is an instruction before the next that makes one. The thread
	// is left alone until it sleeps in one: who is stopped again and again gets nowhere on a
	// busy machine.
	for deadline := time.Now().Add(30 * time.Second); ; {
		await.Within(time.Until(deadline), func() bool { return asleep(tid) })
		if err := unix.PtraceAttach(tid); err != nil {
			t.Skipf("nobody may trace here: %v", err)
		}
		if err := stopped(tid); err != nil {
			return 0, err
		}
		if err := unix.PtraceGetRegs(tid, &before); err != nil {
			return 0, fmt.Errorf("read registers: %w", err)
		}
		if before.Orig_rax != ^uint64(0) {
			break
		}
		if err := unix.PtraceDetach(tid); err != nil || time.Now().After(deadline) {
			return 0, fmt.Errorf("the thread makes no system call: %w", err)
		}
	}
	scratch := (before.Rsp - 8192) &^ 4095
	if _, err := unix.PtracePokeData(tid, uintptr(scratch), append([]byte(path), 0)); err != nil {
		return 0, fmt.Errorf("write to memory: %w", err)
	}
	now = before
	now.Rip -= 2 // the system call instruction it sleeps in
	now.Rax, now.Orig_rax = call, ^uint64(0)
	for i, r := range []*uint64{&now.Rdi, &now.Rsi, &now.Rdx, &now.R10} {
		*r = args[i]
		if args[i] == pathArgument || args[i] == stackArgument {
			*r = scratch
		}
	}
	if err := errors.Join(unix.PtraceSetRegs(tid, &now), unix.PtraceSingleStep(tid)); err != nil {
		return 0, fmt.Errorf("step: %w", err)
	}
	if err := stopped(tid); err != nil {
		return 0, err
	}
	err := errors.Join(unix.PtraceGetRegs(tid, &now), unix.PtraceSetRegs(tid, &before), unix.PtraceDetach(tid))
	if answer := int64(now.Rax); answer < 0 {
		return syscall.Errno(-answer), err
	}
	return 0, err
}

func stopped(tid int) error {
	for {
		var status unix.WaitStatus
		switch _, err := unix.Wait4(tid, &status, unix.WALL, nil); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD): // a host is this process's child, and was buried meanwhile
			return errTraceeDied
		case err != nil:
			return fmt.Errorf("wait for the thread: %w", err)
		case status.Exited() || status.Signaled():
			return errTraceeDied
		default:
			return nil
		}
	}
}

// asleep tells whether a thread waits in the kernel, or is gone.
func asleep(tid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", tid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(state, "S") || strings.HasPrefix(state, "D")
}

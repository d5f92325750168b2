package host_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell/host"
)

// A cell that was killed is over although nobody can reap its process: while it is
// traced it is its tracer's, and not its parent's.
func TestKilledChildIsOverBeforeItIsReaped(t *testing.T) {
	executed := host.ZygoteConfig{Dist: host.Dist{Home: "/h"}, NoZygote: true, Fresh: freshCommand}
	forked := host.ZygoteConfig{Dist: host.Dist{Home: "/h"}, Command: zygoteCommand}
	for name, c := range map[string]struct {
		config host.ZygoteConfig
		first  bool   // whom the tracer holds: the process's first thread, or another
		want   string // of why it ended
	}{
		"forked, its first thread traced":   {forked, true, "SIGKILL"},
		"forked, another thread traced":     {forked, false, "the kernel holds its process still"},
		"executed, its first thread traced": {executed, true, "SIGKILL"},
		"executed, another thread traced":   {executed, false, "the kernel holds its process still"},
	} {
		t.Run(name, func(t *testing.T) {
			z, err := host.NewZygote(c.config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = z.Close() })
			_, w := startWorker(t, z)
			release := trace(t, threadOf(t, cellProcess(t), c.first))
			w.Kill()
			select {
			case <-w.Done():
			case <-time.After(20 * time.Second):
				t.Error("the killed cell is not over")
			}
			release()
			<-w.Done()
			if w.Err() == nil || !strings.Contains(w.Err().Error(), c.want) {
				t.Errorf("it ended with %v, want %q", w.Err(), c.want)
			}
		})
	}
}

// fakeTracer is this test binary as a debugger of the thread os.Args[1], until its input
// ends.
func fakeTracer() int {
	runtime.LockOSThread()
	tid, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = unix.PtraceSeize(tid)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("traces")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// trace holds a thread, so that nobody reaps it until release is called.
func trace(t *testing.T, tid int) (release func()) {
	t.Helper()
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"fake-tracer", strconv.Itoa(tid)}, Env: []string{}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release = func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	if said, _ := bufio.NewReader(out).ReadString('\n'); said != "traces\n" {
		release()
		t.Skipf("nobody may trace here: %s", said)
	}
	return release
}

// cellProcess is the one descendant of this process that is a cell.
func cellProcess(t *testing.T) string {
	t.Helper()
	for todo := []string{strconv.Itoa(os.Getpid())}; len(todo) > 0; todo = todo[1:] {
		name, _ := os.ReadFile(filepath.Join("/proc", todo[0], "cmdline"))
		if argv0, _, _ := strings.Cut(string(name), "\x00"); argv0 == "fake-child" || argv0 == "fake-fresh" {
			return todo[0]
		}
		threads, _ := filepath.Glob(filepath.Join("/proc", todo[0], "task/*/children"))
		for _, path := range threads {
			children, _ := os.ReadFile(path)
			todo = append(todo, strings.Fields(string(children))...)
		}
	}
	t.Fatal("no descendant is a cell")
	return ""
}

// threadOf is the first thread of a process, or another.
func threadOf(t *testing.T, pid string, first bool) int {
	t.Helper()
	threads, err := os.ReadDir(filepath.Join("/proc", pid, "task"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range threads {
		if tid, err := strconv.Atoi(e.Name()); err == nil && (e.Name() == pid) == first {
			return tid
		}
	}
	t.Fatalf("process %s has no such thread", pid)
	return 0
}

package enforce

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

const roleEnv = "PYISOLATE_ENFORCE_ROLE"

// TestMain: with a role, the test binary is a host, or what a host starts.
func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "host":
		os.Exit(playHost())
	case "cell":
		_, _ = io.Copy(io.Discard, os.Stdin) // until the host is gone
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// playHost starts a cell, and says how it numbers itself, its thread and the cell.
func playHost() int {
	in, out, err := os.Pipe()
	if err != nil {
		return 1
	}
	defer func() { _ = out.Close() }()
	c := exec.Command("/proc/self/exe")
	c.Env = []string{roleEnv + "=cell"}
	c.Stdin = in
	if err := c.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(os.Getpid(), unix.Gettid(), c.Process.Pid)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// host is a running host.
type host struct {
	pid                  int // here
	own, thread, process int // as it numbers them
}

func startHost(t *testing.T, flags uintptr) host {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = []string{roleEnv + "=host"}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Skipf("a host in a PID namespace: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = c.Wait()
	})
	h := host{pid: c.Process.Pid}
	if _, err := fmt.Fscan(stdout, &h.own, &h.thread, &h.process); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFind(t *testing.T) {
	for name, flags := range map[string]uintptr{"own namespace": unix.CLONE_NEWPID, "shared namespace": 0} {
		t.Run(name, func(t *testing.T) {
			h := startHost(t, flags)
			if (h.own == h.pid) != (flags == 0) {
				t.Fatalf("the host numbers itself %d, we %d", h.own, h.pid)
			}
			process, err := Find(h.pid, h.process, true)
			if err != nil {
				t.Fatal(err)
			}
			var environ []byte
			isCell := func() bool { return strings.Contains(string(environ), roleEnv+"=cell") }
			// Who has just executed a program has the environment of the one before for a moment.
			for end := time.Now().Add(10 * time.Second); !isCell() && err == nil && time.Now().Before(end); runtime.Gosched() {
				environ, err = os.ReadFile(fmt.Sprintf("/proc/%d/environ", process.TID))
			}
			if err != nil || !isCell() {
				t.Errorf("%d is not the cell: %q, %v", process.TID, environ, err)
			}
			thread, err := Find(h.pid, h.thread, false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", h.pid, thread.TID)); err != nil {
				t.Errorf("%d is no thread of the host: %v", thread.TID, err)
			}
			if !process.alive(h.pid) || !thread.alive(h.pid) {
				t.Error("they are not alive")
			}
			// What is not the host's: this process, and numbers of nobody.
			for _, n := range []int{os.Getpid(), 1, 0, -1, 1 << 22} {
				if got, err := Find(h.pid, n, true); err == nil && n != h.process {
					t.Errorf("%d is the host's %+v", n, got)
				}
			}
			if got, err := Find(h.pid, h.process, false); err == nil {
				t.Errorf("the cell's process is a thread of the host: %+v", got)
			}
		})
	}
}

func newTree(t *testing.T) *cgroup.Tree {
	t.Helper()
	if r := probe.Host().Row(probe.CgroupMemory); !r.Works {
		t.Skipf("no control groups here: %s", r.Answer)
	}
	tree, err := cgroup.Open(cgroup.Options{Name: cgroup.OwnName("pyisolate-enforce")})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// groups lists those of cells.
func groups(t *testing.T, tree *cgroup.Tree) (list []string) {
	t.Helper()
	all, err := tree.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasPrefix(name, "cell-") {
			list = append(list, name)
		}
	}
	return list
}

// TestGroups: a cell's process is bounded in a group of its own, which lives until the
// process has ended.
func TestGroups(t *testing.T) {
	tree := newTree(t)
	e := New(Options{Groups: tree})
	h := startHost(t, 0)
	if !e.Seats() {
		t.Fatal("there are no seats")
	}
	leave, err := e.Enroll(h.pid)
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	task, err := Find(h.pid, h.process, true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Seat(h.pid, h.process, true, policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Seat(h.pid, h.process, true, policy.Policy{}); !errors.Is(err, ErrSeated) {
		t.Errorf("a second seat: %v", err)
	}
	if _, err := s.Put(policy.Policy{}, cgroup.Limits{Memory: 64 << 20, Tasks: 9}); err != nil {
		t.Fatal(err)
	}
	list := groups(t, tree)
	if len(list) != 1 {
		t.Fatalf("groups %q", list)
	}
	g, err := tree.Adopt(list[0])
	if err != nil {
		t.Fatal(err)
	}
	if in, err := g.Processes(); err != nil || len(in) != 1 || in[0] != task.TID {
		t.Errorf("the group has %v, %v; the cell is %d", in, err, task.TID)
	}
	if u, err := g.Usage(); err != nil || u.Memory < 0 || u.Tasks < 1 {
		t.Errorf("%+v, %v", u, err)
	}
	s.Close()
	if _, err := s.Put(policy.Policy{}, cgroup.Limits{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed seat: %v", err)
	}
	if _, err := e.Seat(h.pid, h.process, true, policy.Policy{}); !errors.Is(err, ErrSeated) {
		t.Errorf("a seat before the task has gone: %v", err)
	}
	if list := groups(t, tree); len(list) != 1 {
		t.Errorf("the group of a living process: %q", list)
	}
	if err := unix.Kill(task.TID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for task.alive(h.pid) { // the kernel takes a moment
		runtime.Gosched()
	}
	for len(groups(t, tree)) > 0 { // and so does who gives it back
		runtime.Gosched()
	}
	s.Close() // again
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestThreadHasNoGroup: version 1 and 2 differ in what they do with threads.
func TestThreadHasNoGroup(t *testing.T) {
	tree := newTree(t)
	e := New(Options{Groups: tree})
	h := startHost(t, 0)
	s, err := e.Seat(h.pid, h.thread, false, policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if list := groups(t, tree); len(list) != 0 {
		t.Errorf("groups %q", list)
	}
	s.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Find(h.pid+1<<20, 1, false); err == nil || errors.Is(err, ErrNoTask) {
		t.Errorf("a host that is not there: %v", err)
	}
}

// A limit of memory that is lowered refuses, and does not kill.
func TestGroupIsNotSetBelowUse(t *testing.T) {
	e := New(Options{Groups: newTree(t)})
	h := startHost(t, 0)
	task, err := Find(h.pid, h.process, true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Seat(h.pid, h.process, true, policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		memory int64
		kept   bool
	}{{256 << 20, false}, {1 << 20, true}, {128 << 20, false}} {
		kept, err := s.Put(policy.Policy{}, cgroup.Limits{Memory: c.memory})
		if err != nil || (len(kept) > 0) != c.kept {
			t.Errorf("%d bytes: it keeps %q, %v", c.memory, kept, err)
		}
		if u, err := s.group.Usage(); err != nil || u.Kills > 0 || !task.alive(h.pid) {
			t.Fatalf("%d bytes: %+v, %v", c.memory, u, err)
		}
	}
	if err := unix.Kill(task.TID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for task.alive(h.pid) { // the kernel takes a moment
		runtime.Gosched()
	}
	s.Close()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestPreparedIsShared(t *testing.T) {
	e := New(Options{})
	defer func() { _ = e.Close() }()
	p, err := e.Prepare(policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Hold() {
		t.Error("it cannot be held")
	}
	p.Release()
	p.Release()
	if p.Hold() {
		t.Error("what is released is held")
	}
}

// limited is a seat whose group has limits, and what reads one of them.
func limited(t *testing.T, o Options) (s *Seat, limit func() string) {
	t.Helper()
	e := New(o)
	h := startHost(t, 0)
	s, err := e.Seat(h.pid, h.process, true, policy.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(s.task.TID, unix.SIGKILL)
		s.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Put(policy.Policy{}, cgroup.Limits{Memory: 256 << 20}); err != nil {
		t.Fatal(err)
	}
	memory := o.Groups.Places()[cgroup.Memory]
	file := filepath.Join(memory.Dir, s.group.Name(), map[int]string{1: "memory.limit_in_bytes", 2: "memory.max"}[memory.Version])
	return s, func() string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

// Where one part of a policy cannot be put on, none is.
func TestPutIsWhole(t *testing.T) {
	t.Run("limits", func(t *testing.T) {
		s, limit := limited(t, Options{Groups: newTree(t)})
		before := limit()
		if _, err := s.Put(policy.Policy{}, cgroup.Limits{Memory: 128 << 20, Tasks: 1 << 40}); err == nil {
			t.Skip("the kernel knows no limit that is too high, or has none of tasks")
		}
		if got := limit(); got != before {
			t.Errorf("the memory limit is %q, and was %q", got, before)
		}
	})
	t.Run("rules", func(t *testing.T) {
		tree := newTree(t)
		g, err := guard.Load(guard.Options{Cgroup: tree.Unified()})
		if err != nil {
			_ = tree.Close()
			t.Skipf("no programs here: %v", err)
		}
		s, limit := limited(t, Options{Groups: tree, Guard: g})
		before := limit()
		ready, err := s.enforcer.Prepare(policy.Policy{Quotas: policy.Quotas{Sent: 1}}) // nobody has it
		if err != nil {
			t.Fatal(err)
		}
		ready.Release()
		if _, err := s.Use(ready, cgroup.Limits{Memory: 128 << 20}); err == nil {
			t.Fatal("rules that are no more were put on")
		}
		if got := limit(); got != before {
			t.Errorf("the memory limit is %q, and was %q", got, before)
		}
	})
}

// A seat that takes its time to be given back holds up no other.
func TestGivenBackBesideOthers(t *testing.T) {
	tree := newTree(t)
	e := New(Options{Groups: tree})
	var seats []*Seat
	for range 2 {
		h := startHost(t, 0)
		s, err := e.Seat(h.pid, h.process, true, policy.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(s.task.TID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for s.task.alive(h.pid) {
			runtime.Gosched()
		}
		seats = append(seats, s)
	}
	// A group with another in it cannot be removed.
	inner := filepath.Join(tree.Places()[cgroup.Memory].Dir, seats[0].group.Name(), "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	seated := func(s *Seat) bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.tasks[s.task.TID] != nil
	}
	e.mu.Lock()
	e.left = seats // in this order
	e.mu.Unlock()
	e.wake <- struct{}{}
	for late := time.Now().Add(10 * time.Second); seated(seats[1]) && time.Now().Before(late); {
		runtime.Gosched()
	}
	if !seated(seats[0]) {
		t.Error("the second was given back after the first")
	}
	if err := os.Remove(inner); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

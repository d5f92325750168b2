package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

// roleEnv makes the test binary a process in a group: it reads a line, then acts.

const roleEnv = "PYISOLATE_CGROUP_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

// play is what a process does in a group.

func play(role string) int {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return 3
	}
	switch role {
	case "sleep":
		for {
			time.Sleep(time.Hour)
		}
	case "spin":
		for n := 1; n != 0; n |= 1 {
		}
		return 5
	case "eat":
		var all [][]byte
		for range 4096 {
			page := make([]byte, 1<<20)
			for i := 0; i < len(page); i += 4096 {
				page[i] = 1
			}
			all = append(all, page)
		}
		runtime.KeepAlive(all)
		return 0
	case "breed":
		for range 64 {
			c := exec.Command("/proc/self/exe")
			c.Env = []string{roleEnv + "=sleep"}
			if _, err := c.StdinPipe(); err != nil {
				return 4
			}
			if err := c.Start(); err != nil {
				fmt.Println(err)
				return 11
			}
		}
		return 0
	default:
		return 2
	}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// newTree has a name of its own, and must be empty and closed in the end.

func newTree(t testing.TB, version int) *Tree {
	t.Helper()
	tree, err := Open(Options{Name: fmt.Sprintf("pyisolate-test-%d-%d", os.Getpid(), time.Now().UnixNano()), Version: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if list, err := tree.List(); err != nil || len(list) > 0 {
			t.Errorf("groups are left: %v, %v", list, err)
			_, _ = tree.Sweep(soon(t), nil)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

// withController runs the test in each version that has the controller.

func withController(t *testing.T, c Controller, test func(t *testing.T, tree *Tree)) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			tree := newTree(t, version)
			if p := tree.Places()[c]; p.Version == 0 {
				t.Skipf("no %s controller: %s", c, strings.Join(p.Evidence, "; "))
			}
			test(t, tree)
		})
	}
}

func create(t testing.TB, tree *Tree, l Limits) *Group {
	t.Helper()
	g, err := tree.Create("group", l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(soon(t)); err != nil {
			t.Error(err)
		}
	})
	return g
}

// actor is a process that acts in a group.

type actor struct {
	*exec.Cmd
	out strings.Builder
}

func start(t testing.TB, g *Group, role string) *actor {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := &actor{Cmd: exec.Command(self)}
	a.Env = []string{roleEnv + "=" + role}
	a.Stdout = &a.out
	begin, err := a.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Process.Kill(); _ = a.Wait() })
	if err := g.AddProcess(a.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := begin.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCPU(t *testing.T) {
	withController(t, CPU, func(t *testing.T, tree *Tree) {
		g := create(t, tree, Limits{CPU: 2 * time.Millisecond, Period: 10 * time.Millisecond})
		start(t, g, "spin")
		begin, first := time.Now(), int64(0)
		for deadline := time.Now().Add(10 * time.Second); ; {
			u, err := g.Usage()
			if err != nil {
				t.Fatal(err)
			}
			if first == 0 {
				first = int64(u.CPU)
			}
			if u.Throttled > 400*time.Millisecond { // in less, a few ticks of the clock beyond the quota are much
				wall, used := time.Since(begin), u.CPU-time.Duration(first)
				t.Logf("%v of processor in %v, throttled for %v", used, wall, u.Throttled)
				if u.CPU >= 0 && used > wall/2 {
					t.Errorf("it used %v of processor in %v, with a quota of a fifth", used, wall)
				}
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("it was never throttled: %+v", u)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

func TestMemory(t *testing.T) {
	withController(t, Memory, func(t *testing.T, tree *Tree) {
		g := create(t, tree, Limits{Memory: 64 << 20})
		a := start(t, g, "eat")
		err := a.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ProcessState.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
			t.Fatalf("it was not killed: %v", err)
		}
		u, err := g.Usage()
		if err != nil || u.Kills < 1 {
			t.Errorf("%+v, %v", u, err)
		}
		if u.Peak > 65<<20 {
			t.Errorf("it had %d bytes", u.Peak)
		}
	})
}

func TestTasks(t *testing.T) {
	withController(t, Tasks, func(t *testing.T, tree *Tree) {
		g := create(t, tree, Limits{Tasks: 40})
		a := start(t, g, "breed")
		err := a.Wait()
		if a.ProcessState.ExitCode() != 11 || !strings.Contains(a.out.String(), "resource temporarily unavailable") {
			t.Errorf("%v: %s", err, a.out.String())
		}
		if u, err := g.Usage(); err != nil || u.Tasks > 40 {
			t.Errorf("%+v, %v", u, err)
		}
		// Its children are still there: Remove ends them.
	})
}

// TestThread: only version 1 separates threads.

func TestThread(t *testing.T) {
	withController(t, CPU, func(t *testing.T, tree *Tree) {
		g := create(t, tree, Limits{CPU: time.Millisecond, Period: 10 * time.Millisecond})
		err := osthread.Run(func() error {
			if err := g.AddThread(unix.Gettid()); err != nil {
				return err
			}
			var before, after unix.Rusage
			_ = unix.Getrusage(unix.RUSAGE_THREAD, &before)
			begin := time.Now()
			for time.Since(begin) < 200*time.Millisecond {
			}
			_ = unix.Getrusage(unix.RUSAGE_THREAD, &after)
			used := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
			if wall := time.Since(begin); used > wall/2 {
				return fmt.Errorf("the thread used %v in %v, with a quota of a tenth", used, wall)
			}
			return nil
		})
		if tree.Places()[CPU].Version == 2 {
			if !errors.Is(err, ErrThreads) {
				t.Errorf("version 2: %v", err)
			}
		} else if err != nil {
			t.Error(err)
		}
	})
}

func TestChangeLimits(t *testing.T) {
	for _, c := range Controllers {
		withController(t, c, func(t *testing.T, tree *Tree) {
			one := map[Controller]Limits{CPU: {CPU: 5 * time.Millisecond}, Memory: {Memory: 32 << 20}, Tasks: {Tasks: 7}}[c]
			other := map[Controller]Limits{CPU: {CPU: 9 * time.Millisecond, Period: 20 * time.Millisecond}, Memory: {Memory: 64 << 20}, Tasks: {Tasks: 9}}[c]
			g := create(t, tree, one)
			for _, l := range []Limits{other, one, {}, other} {
				if err := g.Set(l); err != nil {
					t.Errorf("%+v: %v", l, err)
				}
			}
			dir, version := g.dir(c)
			for _, s := range other.settings(c, version) {
				if got, err := read(dir + "/" + s.file); err == nil && got != s.value {
					t.Errorf("%s has %q, want %q", s.file, got, s.value)
				}
			}
		})
	}
}

// TestRestart: another tree of the same name finds, adopts and sweeps the groups.

func TestRestart(t *testing.T) {
	tree := newTree(t, 0)
	if len(tree.dirs) == 0 {
		t.Skip("no group can be made here")
	}
	for _, name := range []string{"kept", "lost"} {
		if _, err := tree.Create(name, Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	a := start(t, tree.group("lost"), "sleep")
	again, err := Open(tree.options)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := again.List(); err != nil || !slices.Equal(list, []string{"kept", "lost"}) {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := again.Create("kept", Limits{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a group was made twice: %v", err)
	}
	if err := again.Close(); err == nil {
		t.Error("a tree with groups was closed")
	}
	kept, err := again.Adopt("kept")
	if err != nil {
		t.Fatal(err)
	}
	swept, err := again.Sweep(soon(t), func(name string) bool { return name == "kept" })
	if err != nil || !slices.Equal(swept, []string{"lost"}) {
		t.Errorf("swept %v, %v", swept, err)
	}
	if err := a.Wait(); err == nil {
		t.Error("what was in the swept group ended well")
	}
	if _, err := again.Adopt("lost"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("adopt what is gone: %v", err)
	}
	if err := kept.Remove(soon(t)); err != nil {
		t.Error(err)
	}
	if err := kept.Remove(soon(t)); err != nil {
		t.Errorf("remove again: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	tree := newTree(t, 0)
	for _, name := range []string{"", ".", "..", "a/b", "../x", ".hidden", "a b", strings.Repeat("a", 200)} {
		if _, err := tree.Create(name, Limits{}); err == nil {
			t.Errorf("%q was made", name)
		}
		if _, err := tree.Adopt(name); err == nil {
			t.Errorf("%q was adopted", name)
		}
		if name == "" {
			continue // the default
		}
		if _, err := Open(Options{Name: name}); err == nil {
			t.Errorf("tree %q was made", name)
		}
	}
	none := &Tree{places: map[Controller]Place{Memory: {Evidence: []string{"tried it"}}}}
	if _, err := none.Create("x", Limits{Memory: 1 << 20}); !errors.Is(err, ErrNoController) || !strings.Contains(err.Error(), "tried it") {
		t.Errorf("without the controller: %v", err)
	}
}

// TestNothingLeaks: a group that cannot be made whole leaves no part.

func TestNothingLeaks(t *testing.T) {
	tree := newTree(t, 0)
	if tree.Places()[Tasks].Version == 0 {
		t.Skip("no tasks controller")
	}
	for _, l := range []Limits{{Tasks: -5}, {CPU: time.Hour, Period: time.Hour}} {
		if l.CPU > 0 && tree.Places()[CPU].Version == 0 {
			continue
		}
		if _, err := tree.Create("bad", l); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	if list, err := tree.List(); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
}

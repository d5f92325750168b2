package numa

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// childEnv makes the test binary say where it is placed: this thread, and one that it
// starts.
const childEnv = "PYISOLATE_NUMA_CHILD"

func child() int {
	others := make(chan string)
	go func() {
		runtime.LockOSThread()
		others <- where()
	}()
	runtime.LockOSThread()
	fmt.Printf("%s\n%s\n", where(), <-others)
	return 0
}

// where is the processors and nodes of the calling thread, as the kernel tells them, and how
// it takes memory.
func where() string {
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return err.Error()
	}
	var told []string
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(line, ":"); name == "Cpus_allowed_list" || name == "Mems_allowed_list" {
			told = append(told, strings.TrimSpace(value))
		}
	}
	s, err := placed()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("cpus %s, nodes %s, mode %d of %b", told[0], told[1], s.mode, s.nodes[0])
}

func here(t testing.TB) Topology {
	t.Helper()
	topology, err := Read()
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// TestOn starts a process on part of a node: all its threads are there, and this one is not
// any more.
func TestOn(t *testing.T) {
	topology := here(t)
	n, err := topology.Pick(Placement{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(n.CPUs) < 2 || n.Memory == 0 {
		t.Skipf("node %d has %d processors and %d bytes; a part of it cannot be told from all of it", n.ID, len(n.CPUs), n.Memory)
	}
	last := n.CPUs[len(n.CPUs)-1]
	part := Topology{Nodes: []Node{{ID: n.ID, CPUs: []int{last}, Memory: n.Memory}}}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := where()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), childEnv+"=1")
	var out strings.Builder
	c.Stdout, c.Stderr = &out, os.Stderr
	var during string
	err = part.On(n.ID, func() error {
		during = where()
		return c.Start()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	_, nodes, _ := strings.Cut(before, ", ")
	nodes, _, _ = strings.Cut(nodes, ", ")
	want := fmt.Sprintf("cpus %d, %s, mode %d of %b", last, nodes, unix.MPOL_PREFERRED, 1<<n.ID)
	if during != want || out.String() != want+"\n"+want+"\n" {
		t.Errorf("it was\n%s\nand its child\n%swant\n%s", during, &out, want)
	}
	if after := where(); after != before {
		t.Errorf("the thread is %s and was %s", after, before)
	}
}

func TestOnFails(t *testing.T) {
	topology := here(t)
	called := false
	call := func() error { called = true; return nil }
	if err := topology.On(1023, call); !errors.Is(err, ErrNoNode) || called {
		t.Errorf("a node that is not there: %v", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := where()
	// What the kernel says of a processor and of a node that it has not.
	for _, n := range []Node{{ID: 0, CPUs: []int{maxCPUs - 1}}, {ID: maxNodes - 1, CPUs: topology.Nodes[0].CPUs, Memory: 1}} {
		if err := (Topology{Nodes: []Node{n}}).On(n.ID, call); !errors.Is(err, unix.EINVAL) || called {
			t.Errorf("%+v: %v", n, err)
		}
	}
	mine := errors.New("mine")
	if err := topology.On(topology.Nodes[0].ID, func() error { return mine }); !errors.Is(err, mine) {
		t.Errorf("what the function said: %v", err)
	}
	if after := where(); after != before {
		t.Errorf("the thread is %s and was %s", after, before)
	}
}

func BenchmarkOn(b *testing.B) {
	topology := here(b)
	for b.Loop() {
		if err := topology.On(topology.Nodes[0].ID, func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

package numa

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childEnv makes the test binary say where it is placed: this thread, and one that it
// starts.
const childEnv = "PYISOLATE_NUMA_CHILD"

func child() int {
	others := make(chan string)
	go func() {
		runtime.LockOSThread()
		others <- andPage(where())
	}()
	runtime.LockOSThread()
	fmt.Printf("%s\n%s\n", andPage(where()), <-others)
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

// andPage adds the node of a page that the thread touches.
func andPage(where string) string {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = unix.Munmap(page) }()
	page[0] = 1
	node := int32(-1)
	_, _, e := unix.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&node)), 0, 0, uintptr(unsafe.Pointer(&page[0])),
		unix.MPOL_F_NODE|unix.MPOL_F_ADDR, 0)
	if e != 0 {
		return e.Error()
	}
	return fmt.Sprintf("%s, page on %d", where, node)
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

// TestOn starts a process on each node, on one processor of it: all its threads and what
// they touch are there, and this thread is not any more.
func TestOn(t *testing.T) {
	topology := here(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := where()
	_, nodes, _ := strings.Cut(before, ", ")
	nodes, _, _ = strings.Cut(nodes, ", ")
	processors, tried := 0, 0
	for _, n := range topology.Nodes {
		if processors += len(n.CPUs); len(n.CPUs) == 0 || n.Memory == 0 {
			continue
		}
		tried++
		last := n.CPUs[len(n.CPUs)-1]
		want := fmt.Sprintf("cpus %d, %s, mode %d of %b, page on %d", last, nodes, unix.MPOL_PREFERRED, 1<<n.ID, n.ID)
		during, told := startOn(t, Node{ID: n.ID, CPUs: []int{last}, Memory: n.Memory})
		if during != want || told != want+"\n"+want+"\n" {
			t.Errorf("it was\n%s\nand its child\n%swant\n%s", during, told, want)
		}
		if after := where(); after != before {
			t.Errorf("the thread is %s and was %s", after, before)
		}
	}
	t.Logf("%d nodes of %d", tried, len(topology.Nodes))
	if tried == 0 || processors < 2 {
		t.Skipf("%d nodes and %d processors: there is nothing to choose from", tried, processors)
	}
}

// startOn starts the child, and returns where the thread was then and what the child told.
func startOn(t *testing.T, n Node) (during, told string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), childEnv+"=1")
	var out strings.Builder
	c.Stdout, c.Stderr = &out, os.Stderr
	err = Topology{Nodes: []Node{n}}.On(n.ID, func() error {
		during = andPage(where())
		return c.Start()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	return during, out.String()
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

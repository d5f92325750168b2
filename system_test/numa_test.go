package systemtest

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/numa"
)

// TestHostsOfNodes: each node of the machine has a host of its own, which uses its processors;
// a node that is not there is refused by name.
func TestHostsOfNodes(t *testing.T) {
	machine, err := numa.Read()
	if err != nil {
		t.Skipf("this kernel tells of no nodes: %v", err)
	}
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		hosts := map[int]int{}
		for _, n := range machine.Nodes {
			if len(n.CPUs) == 0 {
				continue
			}
			for range 2 {
				c := spawn(t, l, cell.Spec{Backend: b, NUMA: "node " + strconv.Itoa(n.ID)})
				alive(t, c)
				r, err := c.Inspect(soon(t))
				if err != nil {
					t.Fatal(err)
				}
				if r.NUMANode == nil || *r.NUMANode != n.ID {
					t.Errorf("a cell of node %d reports %v", n.ID, r.NUMANode)
				}
				if other, seen := hosts[n.ID]; seen && other != r.HostPID {
					t.Errorf("node %d has hosts %d and %d", n.ID, other, r.HostPID)
				}
				hosts[n.ID] = r.HostPID
				if got := allowed(t, r.HostPID); got != len(n.CPUs) {
					t.Errorf("the host may use %d processors, node %d has %d", got, n.ID, len(n.CPUs))
				}
			}
		}
		_, err := l.Spawn(soon(t), cell.Spec{Backend: b, NUMA: "node 4711"})
		if cell.KindOf(err) != cell.Invalid || !strings.Contains(err.Error(), "4711") {
			t.Errorf("a node that is not there: %v", err)
		}
	})
	if _, err := launch.New(launch.Config{NUMA: "node 4711"}); cell.KindOf(err) != cell.Invalid {
		t.Errorf("a launcher for a node that is not there: %v", err)
	}
}

// allowed counts the processors that a process may use.
func allowed(tb testing.TB, pid int) (n int) {
	tb.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		mask, ok := strings.CutPrefix(line, "Cpus_allowed:")
		if !ok {
			continue
		}
		for _, digit := range strings.NewReplacer(",", "", "\n", "", "\t", "").Replace(mask) {
			v, err := strconv.ParseUint(string(digit), 16, 8)
			if err != nil {
				tb.Fatal(err)
			}
			for ; v > 0; v &= v - 1 {
				n++
			}
		}
	}
	return n
}

package guard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

// bpffs mounts a bpf file system of the test's own.
func bpffs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Skipf("cannot mount a bpf file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// hold is a node: it loads, pins, and waits for its end.
func hold(arg string) error {
	kind, rest, _ := strings.Cut(arg, ":")
	cgroup, pin, _ := strings.Cut(rest, ":")
	o := Options{Kind: LSM, Cgroup: cgroup, Pin: pin}
	if kind == Cgroup.String() {
		o.Kind = Cgroup
	}
	g, err := Load(o)
	if err != nil {
		return err
	}
	fmt.Println("ready", g.Programs())
	_, err = os.Stdin.Read(make([]byte, 1))
	return err
}

// startNode starts this binary as a node and waits until it has loaded.
func startNode(t *testing.T, kind Kind, cgroup, pin string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(context.Background(), self)
	c.Env = []string{roleEnv + "=hold:" + kind.String() + ":" + cgroup + ":" + pin}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), c.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready") {
		t.Fatalf("the node says %q, %v", line, err)
	}
	return c
}

// attachedTo counts the programs that judge connections in a group.
func attachedTo(t *testing.T, cgroup string, at ebpf.AttachType) int {
	t.Helper()
	f, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	q, err := link.QueryPrograms(link.QueryOptions{Target: int(f.Fd()), Attach: at})
	if err != nil {
		t.Fatal(err)
	}
	return len(q.Programs)
}

// attached waits until so many programs count bytes of a group: the kernel detaches in its
// own time.
func attached(t *testing.T, when, cgroup string, want int) {
	t.Helper()
	var n int
	if !await.Within(10*time.Second, func() bool { n = attachedTo(t, cgroup, ebpf.AttachCGroupInetEgress); return n == want }) {
		t.Errorf("%s %d programs are attached, want %d", when, n, want)
	}
}

// TestPins: what is pinned stays when its node is killed, until the next one comes; then
// nothing of the first is left, and in the end nothing at all.
func TestPins(t *testing.T) {
	for name, kind := range map[string]Kind{"lsm": LSM, "cgroup": Cgroup} {
		t.Run(name, func(t *testing.T) {
			shared.get(t, Options{Kind: kind}) // or skip
			cgroup, pin := shared.cgroup+"/pins", bpffs(t)+"/node"
			if err := os.Mkdir(cgroup, 0o755); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.Remove(cgroup) }()
			node := startNode(t, kind, cgroup, pin)
			attached(t, "with a node", cgroup, 1)
			if err := node.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = node.Wait() // it was killed
			attached(t, "after the node's death", cgroup, 1)
			again, err := Load(Options{Kind: kind, Cgroup: cgroup, Pin: pin})
			if err != nil {
				t.Fatal(err)
			}
			attached(t, "with another node", cgroup, 1)
			if entries, err := os.ReadDir(pin); err != nil || len(entries) != again.Programs()+len(again.maps) {
				t.Errorf("%d pins of %d programs and %d maps, %v", len(entries), again.Programs(), len(again.maps), err)
			}
			if err := again.Close(); err != nil {
				t.Error(err)
			}
			attached(t, "in the end", cgroup, 0)
			if _, err := os.Stat(pin); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the pins are still there: %v", err)
			}
		})
	}
}

// TestHeldByPins: a bound thread stays confined when its node is no more.
func TestHeldByPins(t *testing.T) {
	guarded(t) // or skip
	g, err := Load(Options{Kind: LSM, Pin: bpffs(t) + "/node"})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTree(t)
	c, err := g.NewCell(own())
	if err != nil {
		t.Fatal(err)
	}
	err = osthread.Run(func() error {
		if err := c.BindSelf(); err != nil {
			return err
		}
		// As a process that dies does: descriptors and mappings go, pins stay.
		if err := g.release(); err != nil {
			return err
		}
		return denied("after the node's death", readAs(tr.at("b/file")))
	})
	if err := errors.Join(err, g.Close()); err != nil {
		t.Error(err)
	}
}

package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// TestSizes holds the sizes of the Go side to those of bpf/maps.h.

func TestSizes(t *testing.T) {
	lsm, err := loadLsm()
	if err != nil {
		t.Fatal(err)
	}
	cgroup, err := loadCgroup()
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []*ebpf.CollectionSpec{lsm, cgroup} {
		for name, want := range map[string][2]uint32{
			"bindings": {4, uint32(unsafe.Sizeof(binding{}))},
			"cells":    {4, uint32(unsafe.Sizeof(sharedPolicy{}))},
			"usages":   {4, uint32(unsafe.Sizeof(usage{}))},
			"limits":   {4, uint32(unsafe.Sizeof(limits{}))},
			"sockets":  {4, uint32(unsafe.Sizeof(binding{}))},
		} {
			m := spec.Maps[name]
			if m.KeySize != want[0] || m.ValueSize != want[1] {
				t.Errorf("%s: key %d, value %d, want %v", name, m.KeySize, m.ValueSize, want)
			}
		}
		for name, want := range map[string][2]uint32{
			"v4": {uint32(len(prefixKey(netip.MustParsePrefix("10.0.0.0/8")))), uint32(unsafe.Sizeof(netRule{}))},
			"v6": {uint32(len(prefixKey(netip.MustParsePrefix("fd00::/8")))), uint32(unsafe.Sizeof(netRule{}))},
		} {
			m := spec.Maps[name]
			if m.MaxEntries != maxSlots || m.InnerMap.KeySize != want[0] || m.InnerMap.ValueSize != want[1] {
				t.Errorf("%s: %d slots, key %d, value %d, want %v", name, m.MaxEntries, m.InnerMap.KeySize, m.InnerMap.ValueSize, want)
			}
		}
		if spec.Maps["cells"].MaxEntries != maxCells {
			t.Errorf("%d cells", spec.Maps["cells"].MaxEntries)
		}
	}
	if m := lsm.Maps["paths"]; m.InnerMap.KeySize != uint32(len(pathKeyOf("/a"))) || m.InnerMap.ValueSize != uint32(unsafe.Sizeof(pathRule{})) {
		t.Errorf("paths: key %d, value %d", m.InnerMap.KeySize, m.InnerMap.ValueSize)
	}
}

// TestRefusedHere: where the kernel does not let programs in, Load says so.

func TestRefusedHere(t *testing.T) {
	if r := probe.Host().Row(probe.BPFLSM); r.Works || r.Answer != "operation not permitted" {
		t.Skip("this kernel does not refuse the programs")
	}
	if g, err := Load(Options{Kind: LSM}); err == nil {
		_ = g.Close()
		t.Error("they were loaded")
	}
}

func TestTwoThreads(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	a := newCell(t, g, own(policy.FileRule{Path: tr.at("a"), Access: policy.Read}))
	b := newCell(t, g, own(policy.FileRule{Path: tr.at("b"), Access: policy.Read}))
	for name, c := range map[string]struct {
		cell      *Cell
		mine, not string
	}{"a": {a, "a/file", "b/file"}, "b": {b, "b/file", "a/file"}} {
		on(t, c.cell, func() error {
			if data, err := os.ReadFile(tr.at(c.mine)); err != nil || len(data) == 0 {
				return fmt.Errorf("thread of %s: its own file: %q, %w", name, data, err)
			}
			return denied("thread of "+name+": the other's file", readAs(tr.at(c.not)))
		})
		if u := c.cell.Usage(); u.Opens < 1 || u.Denied < 1 {
			t.Errorf("%s: %+v", name, u)
		}
	}
	if data, err := os.ReadFile(tr.at("b/file")); err != nil || string(data) != secret {
		t.Errorf("a free thread: %q, %v", data, err)
	}
}

// TestPaths: what a thread with write access to a, but not to a/closed and a/readonly,

// may do. changes are those that older kernels refuse whole.

// TestInheritance: a child, and a thread of that child, have their parent's policy.

func TestInheritance(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	c := newCell(t, g, tr.policy())
	on(t, c, func() error {
		for name, want := range map[string]string{"a/file": public + " worked", "b/file": " denied", "a/closed/file": " denied"} {
			if out, err := child("read", tr.at(name)); err != nil || out != want {
				return fmt.Errorf("a child reads %s: %q, %w", name, out, err)
			}
		}
		out, err := child("signal", strconv.Itoa(os.Getpid()))
		if err != nil || out != "denied" {
			return fmt.Errorf("a child signals what is not of its cell: %q, %w", out, err)
		}
		return nil
	})
	if out, err := child("read", tr.at("b/file")); err != nil || out != secret+" worked" {
		t.Errorf("a child of a free thread: %q, %v", out, err)
	}
}

// TestEmptyCell: without a policy nothing is permitted.

func TestEmptyCell(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	for name, make := range map[string]func() *Cell{
		"an empty policy": func() *Cell { return newCell(t, g, policy.Policy{}) },
		"everything taken away": func() *Cell {
			c := newCell(t, g, tr.policy())
			c.DenyAll()
			return c
		},
		"a cell that is not there": func() *Cell { return &Cell{guard: g, index: maxCells + 5, life: 1} },
	} {
		c := make()
		on(t, c, func() error {
			if err := denied(name+": open", readAs(tr.at("a/file"))); err != nil {
				return err
			}
			var st unix.Stat_t
			if err := unix.Stat(tr.at("a/file"), &st); name != "an empty policy" && denied("", err) != nil {
				return denied(name+": look", err)
			}
			if _, err := child("read", tr.at("a/file")); err == nil {
				return errors.New(name + ": a child started")
			}
			return denied(name+": make", unix.Mkdir(tr.at("a/x"), 0o755))
		})
	}
}

func TestRoom(t *testing.T) {
	g := shared.get(t, ways["cgroup"])
	g.mu.Lock()
	rest := g.freeCells[2:]
	g.freeCells = g.freeCells[:2:2]
	g.mu.Unlock()
	t.Cleanup(func() { g.freeCells = append(g.freeCells, rest...) })
	a, b := newCell(t, g, policy.Policy{}), newCell(t, g, policy.Policy{})
	if a.Index() == b.Index() {
		t.Error("two cells are one")
	}
	if _, err := g.NewCell(policy.Policy{}); !errors.Is(err, ErrFull) {
		t.Errorf("a third: %v", err)
	}
	if _, err := g.NewCell(policy.Policy{Children: -1}); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("a bad policy: %v", err)
	}
}

// TestBound: a cell knows its threads.
func TestBound(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		c, other := newCell(t, g, own()), newCell(t, g, own())
		tids, asked := make(chan int, 1), make(chan struct{})
		var running sync.WaitGroup
		running.Go(func() {
			defer close(tids)
			on(t, c, func() error {
				tids <- unix.Gettid()
				<-asked
				return nil
			})
		})
		defer running.Wait()
		defer close(asked)
		tid := <-tids
		if _, err := descriptorOf(tid); errors.Is(err, ErrClaim) && !g.byThread {
			t.Skip("this kernel names no threads")
		}
		if !c.Bound(tid) || other.Bound(tid) || c.Bound(1) {
			t.Errorf("thread %d is its cell's: %v, another's: %v; thread 1 is: %v", tid, c.Bound(tid), other.Bound(tid), c.Bound(1))
		}
	})
}

// TestForeignNumbers: in another PID namespace no thread has the number that the programs know it
// by, so that nothing is bound by number there.
func TestForeignNumbers(t *testing.T) {
	shared.get(t, ways["cgroup by number"]) // or skip
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = []string{roleEnv + "=foreign:" + shared.group(t)}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if out, err := c.CombinedOutput(); len(out) > 0 || err != nil {
		t.Errorf("%s %v", out, err)
	}
}

// TestAuto: the stronger kind where it works, and why not where it does not.
func TestAuto(t *testing.T) {
	shared.get(t, ways["cgroup"]) // or skip
	g := loaded(t, Options{Cgroup: shared.group(t)})
	want := Cgroup
	if probe.Host().Row(probe.BPFLSM).Works {
		want = LSM
	}
	if g.Kind() != want || strings.Contains(g.Evidence(), "the stronger kind") != (want == Cgroup) {
		t.Errorf("%s: %s", g.Kind(), g.Evidence())
	}
	if !g.Judges(Network) || !g.Judges(Bytes) || !g.Judges(CPU) || g.Judges(Files) != (want == LSM) {
		t.Errorf("judges %v, %v, %v, %v", g.Judges(Network), g.Judges(Bytes), g.Judges(CPU), g.Judges(Files))
	}
	t.Log(g.Evidence())
	if _, err := Load(Options{Kind: Cgroup}); err == nil {
		t.Error("programs of a control group were attached to none")
	}
	if _, err := Load(Options{Kind: Cgroup, Cgroup: t.TempDir()}); err == nil {
		t.Error("a directory that is no control group was taken")
	}
}

package lsm

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// TestSizes holds the sizes of the Go side to those of bpf/maps.h.
func TestSizes(t *testing.T) {
	spec, err := loadPrograms()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]uint32{
		"bindings": {4, uint32(unsafe.Sizeof(binding{}))},
		"cells":    {4, 8},
		"usages":   {4, uint32(unsafe.Sizeof(Usage{}))},
		"claims":   {4, 4},
	} {
		m := spec.Maps[name]
		if m.KeySize != want[0] || m.ValueSize != want[1] {
			t.Errorf("%s: key %d, value %d, want %v", name, m.KeySize, m.ValueSize, want)
		}
	}
	for name, want := range map[string][2]uint32{
		"paths": {uint32(len(pathKeyOf("/a"))), 4},
		"v4":    {uint32(len(prefixKey(netip.MustParsePrefix("10.0.0.0/8")))), uint32(unsafe.Sizeof(netRule{}))},
		"v6":    {uint32(len(prefixKey(netip.MustParsePrefix("fd00::/8")))), uint32(unsafe.Sizeof(netRule{}))},
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

// TestRefusedHere: where the kernel does not let programs in, Load says so.
func TestRefusedHere(t *testing.T) {
	if r := probe.Host().Row(probe.BPFLSM); r.Works || r.Answer != "operation not permitted" {
		t.Skip("this kernel does not refuse the programs")
	}
	if g, err := Load(Options{}); err == nil {
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
		if u := c.cell.Usage(); u.Opens < 2 || u.Denied < 1 {
			t.Errorf("%s: %+v", name, u)
		}
	}
	if data, err := os.ReadFile(tr.at("b/file")); err != nil || string(data) != secret {
		t.Errorf("a free thread: %q, %v", data, err)
	}
}

// TestPaths: what a thread with write access to a, but not to a/closed and a/readonly,
// may do. changes are those that older kernels refuse whole.
func TestPaths(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	c := newCell(t, g, tr.policy())
	open := func(name string, flags int) error {
		fd, err := unix.Open(tr.at(name), flags|unix.O_CLOEXEC, 0o600)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
	cases := []struct {
		name    string
		do      func() error
		allowed bool
		changes bool
	}{
		{"read", func() error { return readAs(tr.at("a/file")) }, true, false},
		{"write", func() error { return open("a/file", unix.O_RDWR) }, true, false},
		{"list", func() error { _, err := os.ReadDir(tr.at("a")); return err }, true, false},
		{"a like name", func() error { return readAs(tr.at("ab/file")) }, false, false},
		{"by dots", func() error { return readAs(tr.at("a/../b/file")) }, false, false},
		{"by a link", func() error { return readAs(tr.at("a/link")) }, false, false},
		{"by a linked directory", func() error { return readAs(tr.at("a/dirlink/file")) }, false, false},
		{"by proc", func() error { return readAs("/proc/self/root" + tr.at("b/file")) }, false, false},
		{"the longer rule takes away", func() error { return readAs(tr.at("a/closed/file")) }, false, false},
		{"the longer rule lets read", func() error { return readAs(tr.at("a/readonly/file")) }, true, false},
		{"and not write", func() error { return open("a/readonly/file", unix.O_WRONLY) }, false, false},
		{"and not append", func() error { return open("a/readonly/file", unix.O_WRONLY|unix.O_APPEND) }, false, false},
		{"list what is closed", func() error { _, err := os.ReadDir(tr.at("b")); return err }, false, false},
		{"a file without name", func() error { return open("b", unix.O_TMPFILE|unix.O_RDWR) }, false, false},
		{"make", func() error { return open("a/new", unix.O_CREAT|unix.O_WRONLY) }, true, true},
		{"make elsewhere", func() error { return open("b/new", unix.O_CREAT|unix.O_WRONLY) }, false, true},
		{"make in the root", func() error { return unix.Mkdir("/pyisolate-lsm-test", 0o755) }, false, true},
		{"rename within", func() error { return unix.Rename(tr.at("a/move"), tr.at("a/moved")) }, true, true},
		{"rename out", func() error { return unix.Rename(tr.at("a/moved"), tr.at("b/moved")) }, false, true},
		{"rename in", func() error { return unix.Rename(tr.at("b/file"), tr.at("a/stolen")) }, false, true},
		{"rename into readonly", func() error { return unix.Rename(tr.at("a/moved"), tr.at("a/readonly/x")) }, false, true},
		{"rename what is closed", func() error { return unix.Rename(tr.at("b"), tr.at("a/b")) }, false, true},
		{"hard link", func() error { return unix.Link(tr.at("b/file"), tr.at("a/hard")) }, false, true},
		{"symbolic link", func() error { return unix.Symlink("/", tr.at("a/soft")) }, true, true},
		{"symbolic link elsewhere", func() error { return unix.Symlink("/", tr.at("b/soft")) }, false, true},
		{"make a directory", func() error { return unix.Mkdir(tr.at("a/dir"), 0o755) }, true, true},
		{"remove a directory", func() error { return unix.Rmdir(tr.at("a/dir")) }, true, true},
		{"remove", func() error { return unix.Unlink(tr.at("a/remove")) }, true, true},
		{"remove elsewhere", func() error { return unix.Unlink(tr.at("b/file")) }, false, true},
		{"truncate", func() error { return unix.Truncate(tr.at("a/file"), 1) }, true, true},
		{"truncate elsewhere", func() error { return unix.Truncate(tr.at("b/file"), 0) }, false, true},
		{"chmod", func() error { return unix.Chmod(tr.at("a/file"), 0o600) }, true, true},
		{"chmod elsewhere", func() error { return unix.Chmod(tr.at("b/file"), 0o666) }, false, true},
		{"chown elsewhere", func() error { return unix.Chown(tr.at("b/file"), 1, 1) }, false, true},
		{"look", func() error { var st unix.Stat_t; return unix.Stat(tr.at("b/file"), &st) }, true, false},
	}
	for _, k := range cases { // in order: some need what others made
		allowed := k.allowed && (!k.changes || g.JudgesChanges())
		on(t, c, func() error {
			err := k.do()
			if allowed && err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if allowed {
				return nil
			}
			if k.changes && !g.JudgesChanges() && err != nil {
				return nil // what it acts on was not made
			}
			return denied(k.name, err)
		})
	}
	if data, err := os.ReadFile(tr.at("b/file")); err != nil || string(data) != secret {
		t.Errorf("what is closed is another: %q, %v", data, err)
	}
	if entries, err := os.ReadDir(tr.at("b")); err != nil || len(entries) != 1 {
		t.Errorf("what is closed has %v, %v", entries, err)
	}
}

func TestExecutable(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	c := newCell(t, g, tr.policy())
	on(t, c, func() error {
		if _, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON); denied("memory for code", err) != nil {
			return denied("memory for code", err)
		}
		data, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		if err := denied("data that becomes code", unix.Mprotect(data, unix.PROT_READ|unix.PROT_EXEC)); err != nil {
			return err
		}
		fd, err := unix.Open(tr.at("a/file"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
		_ = unix.Close(fd)
		return denied("a file without the right to be executed", err)
	})
}

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
		"a cell that is not there": func() *Cell { return &Cell{guard: g, index: maxCells + 5, slot: -1} },
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

func TestSwap(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	onlyA := own(policy.FileRule{Path: tr.at("a"), Access: policy.Read})
	onlyB := own(policy.FileRule{Path: tr.at("b"), Access: policy.Read})
	a, b := newCell(t, g, onlyA), newCell(t, g, onlyB)
	// Two threads that stay, and read what they are told.
	ask := func(c *Cell) (chan string, chan error) {
		paths, answers := make(chan string), make(chan error)
		go on(t, c, func() error {
			for path := range paths {
				fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err == nil {
					_ = unix.Close(fd)
				}
				answers <- err
			}
			close(answers)
			return nil
		})
		return paths, answers
	}
	toA, fromA := ask(a)
	toB, fromB := ask(b)
	look := func(to chan string, from chan error, name string) bool {
		to <- tr.at(name)
		return <-from == nil
	}
	for round := range 40 {
		swapped := round%2 == 1
		if look(toA, fromA, "a/file") == swapped || look(toA, fromA, "b/file") != swapped ||
			look(toB, fromB, "b/file") == swapped || look(toB, fromB, "a/file") != swapped {
			t.Fatalf("round %d: wrong verdicts", round)
		}
		first, second := onlyB, onlyA
		if swapped {
			first, second = onlyA, onlyB
		}
		if err := errors.Join(a.Swap(first), b.Swap(second)); err != nil {
			t.Fatal(err)
		}
	}
	a.DenyAll()
	if look(toA, fromA, "a/file") || look(toA, fromA, "b/file") {
		t.Error("something is left after DenyAll")
	}
	close(toA)
	close(toB)
	for range fromA { // until its thread has ended
	}
	for range fromB {
	}
}

// TestManySwaps needs more slots than there are, so that they are used again.
func TestManySwaps(t *testing.T) {
	g := guarded(t)
	g.mu.Lock()
	g.freeSlots = g.freeSlots[:3]
	g.mu.Unlock()
	tr := newTree(t)
	c := newCell(t, g, policy.Policy{})
	other := newCell(t, g, own(policy.FileRule{Path: tr.at("b"), Access: policy.Read}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 60 {
			p := own(policy.FileRule{Path: tr.at("a"), Access: policy.Read})
			if i%2 == 0 {
				p = policy.Policy{}
			}
			if err := c.Swap(p); err != nil {
				t.Error(err)
			}
		}
	}()
	on(t, other, func() error {
		for {
			if err := denied("in between", readAs(tr.at("a/file"))); err != nil {
				return err
			}
			if _, err := os.ReadFile(tr.at("b/file")); err != nil {
				return err
			}
			select {
			case <-done:
				return nil
			default:
			}
		}
	})
}

func TestRoom(t *testing.T) {
	g := guarded(t)
	g.mu.Lock()
	g.freeCells = g.freeCells[:2]
	g.mu.Unlock()
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

// TestPinned: what is pinned holds when its node has died, until the next one comes.
func TestPinned(t *testing.T) {
	guarded(t) // or skip
	var fsys unix.Statfs_t
	if err := unix.Statfs("/sys/fs/bpf", &fsys); err != nil || fsys.Type != unix.BPF_FS_MAGIC {
		t.Skipf("no bpf file system is mounted on /sys/fs/bpf (%v)", err)
	}
	pin := "/sys/fs/bpf/pyisolate-lsm-test"
	tr := newTree(t)
	g, err := Load(Options{Pin: pin})
	if err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Error(err)
	}
	again, err := Load(Options{Pin: pin})
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(pin); err != nil || len(entries) != again.Programs() {
		t.Errorf("%d pins of %d programs, %v", len(entries), again.Programs(), err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(pin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pins are still there: %v", err)
	}
}

// TestCost writes how many instructions the verifier looked at.
func TestCost(t *testing.T) {
	guarded(t)
	spec, err := loadPrograms()
	if err != nil {
		t.Fatal(err)
	}
	g := &Guard{spec: spec}
	if err := g.adapt(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	c, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Logf("%d programs loaded in %v", len(c.Programs), time.Since(begin))
	for name, p := range c.Programs {
		if info, err := p.Info(); err == nil {
			n, _ := info.VerifiedInstructions()
			t.Logf("verified %-18s %6d instructions", name, n)
		}
	}
}

func BenchmarkOpenClose(b *testing.B) {
	g := guarded(b)
	tr := newTree(b)
	c := newCell(b, g, tr.policy())
	loop := func(b *testing.B) func() error {
		return func() error {
			for b.Loop() {
				fd, err := unix.Open(tr.at("a/file"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					return err
				}
				_ = unix.Close(fd)
			}
			return nil
		}
	}
	b.Run("free", func(b *testing.B) {
		if err := osthread.Run(loop(b)); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("bound", func(b *testing.B) { on(b, c, loop(b)) })
}

// BenchmarkBind binds another thread: a bound one may not bind.
func BenchmarkBind(b *testing.B) {
	c := newCell(b, guarded(b), policy.Policy{})
	tid, done, ended := make(chan int), make(chan struct{}), make(chan error)
	go func() {
		ended <- osthread.Run(func() error {
			tid <- unix.Gettid()
			<-done
			return nil
		})
	}()
	other := <-tid
	for b.Loop() {
		if err := c.Bind(other); errors.Is(err, ErrClaim) {
			b.Skip(err)
		} else if err != nil {
			b.Fatal(err)
		}
	}
	close(done)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPublish(b *testing.B) {
	g := guarded(b)
	c := newCell(b, g, policy.Policy{})
	b.Run("swap", func(b *testing.B) {
		for b.Loop() {
			if err := c.Swap(policy.Policy{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("deny", func(b *testing.B) {
		for b.Loop() {
			c.DenyAll()
		}
	})
}

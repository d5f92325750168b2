package systemtest

import (
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// newGroups is a tree of control groups that is gone after the test, with all its groups.
func newGroups(tb testing.TB) *cgroup.Tree {
	tb.Helper()
	for _, f := range []probe.Feature{probe.CgroupMemory, probe.CgroupTasks} {
		if r := probe.Host().Row(f); !r.Works {
			tb.Skipf("no control groups here: %s: %s", f, r.Answer)
		}
	}
	tree, err := cgroup.Open(cgroup.Options{Name: cgroup.OwnName("pyisolate-test")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { // after the enforcer's end
		if list, err := tree.List(); err != nil || len(list) > 0 {
			tb.Errorf("groups are left: %q, %v", list, err)
		}
	})
	return tree
}

// kernelLauncher is one with the node's half of the kernel.
func kernelLauncher(tb testing.TB, o enforce.Options, c launch.Config) *launch.Launcher {
	tb.Helper()
	c.Kernel = enforce.New(o)
	tb.Cleanup(func() { // after the launcher's end
		if err := c.Kernel.Close(); err != nil {
			tb.Error(err)
		}
	})
	return newLauncher(tb, c)
}

// TestGroupOfACell: what a process cell's C libraries take is bounded, though nobody counts it.
func TestGroupOfACell(t *testing.T) {
	tree := newGroups(t)
	l := kernelLauncher(t, enforce.Options{Groups: tree}, launch.Config{})
	sql := []string{"sqlite3"}
	greedy := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: sql, Limits: cell.Limits{Memory: 16 << 20}})
	modest := spawn(t, l, cell.Spec{Backend: cell.Process, Imports: sql, Limits: cell.Limits{Memory: 16 << 20}})
	alive(t, greedy)
	alive(t, modest)
	list, err := tree.List()
	if err != nil || len(list) < 3 { // of the hosts, and of each cell
		t.Errorf("groups %q, %v", list, err)
	}
	err = greedy.Exec(soon(t), source("import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create table t (b)')\n"+
		"for i in range(200): db.execute('insert into t values (zeroblob(1000000))')"))
	if err == nil {
		t.Error("200 MB are held in 16 MiB")
	}
	if kind := cell.KindOf(err); kind != cell.CellGone && kind != cell.MemoryExceeded && kind != cell.GuestError {
		t.Errorf("%v", err)
	}
	alive(t, modest)
	if err := modest.Close(soon(t)); err != nil && !errors.Is(err, cell.CellGone) {
		t.Error(err)
	}
}

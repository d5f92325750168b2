package cgroup

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestSweepStale: a tree whose process is gone goes, with what runs in it; those of living
// processes and others' stay.
func TestSweepStale(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	const prefix = "pyisolate-stale-test"
	open := func(name string) *Tree {
		tree, err := Open(Options{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if len(tree.dirs) == 0 {
			t.Skip("no control groups here")
		}
		t.Cleanup(func() { _ = tree.Close() })
		return tree
	}
	left := open(ownName(prefix, dead.Process.Pid, 1))
	reused := open(ownName(prefix, os.Getpid(), started(os.Getpid())-1)) // of one that had our number
	before := open(strings.TrimSuffix(ownName(prefix, dead.Process.Pid, 1), "-1"))
	own := open(OwnName(prefix))
	other := open(prefix + "-of-somebody")
	g, err := left.Create("cell-1", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	lingering := exec.Command("sleep", "600")
	if err := lingering.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = lingering.Wait() // killed, if all is well
		close(ended)
	}()
	t.Cleanup(func() { _ = lingering.Process.Kill() })
	if err := g.AddProcess(lingering.Process.Pid); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := SweepStale(ctx, prefix); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("what ran in the tree still runs")
	}
	for name, c := range map[string]struct {
		tree *Tree
		want bool
	}{"left": {left, false}, "reused": {reused, false}, "an earlier version's": {before, false}, "own": {own, true}, "other": {other, true}} {
		for _, dir := range c.tree.dirs {
			if _, err := os.Stat(dir); (err == nil) != c.want {
				t.Errorf("%s: %s is there: %v", name, dir, err == nil)
			}
		}
	}
}

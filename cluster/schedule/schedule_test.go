package schedule_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/cluster/schedule"
)

const mib = 1 << 20

// usual is a node that can have anything.
func usual(name string) schedule.Node {
	return schedule.Node{Name: name, Backends: []string{"subinterpreter", "process"}, Layers: []string{"cgroup", "landlock"},
		Python: "cpython-314", Labels: map[string]string{"zone": "a", "gpu": ""}, Memory: 1024 * mib, Cells: 10, NUMA: 2}
}

func with(n schedule.Node, change func(*schedule.Node)) schedule.Node {
	change(&n)
	return n
}

func TestWhyANodeIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*schedule.Node)
		wish   schedule.Wish
		says   string // "": it is taken
	}{
		{"nothing is wished for", nil, schedule.Wish{}, ""},
		{"it drains", func(n *schedule.Node) { n.Closed = "it is draining" }, schedule.Wish{}, "n1: it is draining"},
		{"that node", nil, schedule.Wish{Node: "n1"}, ""},
		{"another node", nil, schedule.Wish{Node: "n2"}, "n2: there is no such node"},
		{"a label", nil, schedule.Wish{Labels: map[string]string{"zone": "a"}}, ""},
		{"any value of a label", nil, schedule.Wish{Labels: map[string]string{"gpu": "*"}}, ""},
		{"another value", nil, schedule.Wish{Labels: map[string]string{"zone": "b"}}, "its label zone is a, not b"},
		{"no such label", nil, schedule.Wish{Labels: map[string]string{"disk": "*"}}, "it has no label disk"},
		{"a backend", nil, schedule.Wish{Backend: "process"}, ""},
		{"no such backend", nil, schedule.Wish{Backend: "microvm"}, "it has no backend microvm"},
		{"a layer", nil, schedule.Wish{Layers: []string{"landlock", "cgroup"}}, ""},
		{"no such layer", nil, schedule.Wish{Layers: []string{"landlock", "programs"}}, "it lacks the layer programs"},
		{"another Python", nil, schedule.Wish{Python: "cpython-315"}, "its Python is cpython-314, not cpython-315"},
		{"a Python that is not known", func(n *schedule.Node) { n.Python = "" }, schedule.Wish{Python: "cpython-315"}, "its Python is not known"},
		{"all its memory", nil, schedule.Wish{Memory: 1024 * mib}, ""},
		{"too much memory", func(n *schedule.Node) { n.MemoryUsed = 1000 * mib }, schedule.Wish{Memory: 128 * mib}, "24 MiB of its memory are free, the cell may take 128 MiB"},
		{"more in use than there is", func(n *schedule.Node) { n.MemoryUsed = 2048 * mib }, schedule.Wish{Memory: mib}, "0 bytes of its memory are free"},
		{"memory without a bound", func(n *schedule.Node) { n.Memory, n.MemoryUsed = 0, 5 }, schedule.Wish{Memory: 1 << 60}, ""},
		{"half of it on one memory node", nil, schedule.Wish{Memory: 512 * mib, OneNUMA: true}, ""},
		{"more than a memory node has", nil, schedule.Wish{Memory: 513 * mib, OneNUMA: true}, "a memory node of it has 512 MiB"},
		{"no more cells", func(n *schedule.Node) { n.CellsUsed = 10 }, schedule.Wish{}, "it has 10 cells, which is the most"},
		{"cells without a bound", func(n *schedule.Node) { n.Cells, n.CellsUsed = 0, 1000 }, schedule.Wish{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := usual("n1")
			if c.change != nil {
				c.change(&n)
			}
			got, err := schedule.Choose([]schedule.Node{n}, c.wish)
			if c.says == "" {
				if err != nil || got != "n1" {
					t.Fatalf("it chooses %q, %v", got, err)
				}
				return
			}
			var refused *schedule.Refused
			if !errors.As(err, &refused) || len(refused.Reasons) != 1 || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
}

func TestStrategies(t *testing.T) {
	taken := func(name string, cells, ofTenant int, memory int64) schedule.Node {
		return with(usual(name), func(n *schedule.Node) { n.CellsUsed, n.CellsOfTenant, n.MemoryUsed = cells, ofTenant, memory*mib })
	}
	for _, c := range []struct {
		name     string
		strategy schedule.Strategy
		nodes    []schedule.Node
		want     string
	}{
		{"spread: fewest of the tenant", schedule.Spread, []schedule.Node{taken("n1", 2, 2, 0), taken("n2", 9, 0, 800), taken("n3", 1, 1, 0)}, "n2"},
		{"spread: then the least in use", "", []schedule.Node{taken("n1", 2, 1, 0), taken("n2", 1, 1, 0), taken("n3", 1, 1, 500)}, "n2"},
		{"pack: the most in use", schedule.Pack, []schedule.Node{taken("n1", 2, 2, 0), taken("n2", 9, 0, 0), taken("n3", 1, 1, 0)}, "n2"},
		{"pack: memory counts as much as cells", schedule.Pack, []schedule.Node{taken("n1", 2, 2, 0), taken("n2", 5, 0, 0), taken("n3", 1, 1, 600)}, "n3"},
		{"pack: that has room", schedule.Pack, []schedule.Node{taken("n1", 10, 9, 0), taken("n2", 5, 0, 0), taken("n3", 9, 0, 1020)}, "n2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := schedule.Choose(c.nodes, schedule.Wish{Tenant: "t", Cell: "c", Strategy: c.strategy, Memory: 128 * mib})
			if err != nil || got != c.want {
				t.Errorf("it chooses %q, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestWhatCannotChangeIsTold(t *testing.T) {
	full := with(usual("n1"), func(n *schedule.Node) { n.CellsUsed = 10 })
	for _, c := range []struct {
		name    string
		nodes   []schedule.Node
		wish    schedule.Wish
		lasting bool
	}{
		{"no such label", []schedule.Node{full, usual("n2")}, schedule.Wish{Labels: map[string]string{"disk": "*"}}, true},
		{"no such node", []schedule.Node{full}, schedule.Wish{Node: "n9"}, true},
		{"one is full", []schedule.Node{full, with(usual("n2"), func(n *schedule.Node) { n.Backends = nil })}, schedule.Wish{Backend: "process"}, false},
		{"none is known", nil, schedule.Wish{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := schedule.Choose(c.nodes, c.wish)
			var refused *schedule.Refused
			if !errors.As(err, &refused) || refused.Lasting() != c.lasting {
				t.Errorf("lasting is not %v: %v", c.lasting, err)
			}
		})
	}
}

// Nodes that are alike get about the same number of cells, also when nobody counts them in between.
func TestNodesThatAreAlikeShare(t *testing.T) {
	nodes := []schedule.Node{usual("n1"), usual("n2"), usual("n3")}
	got := map[string]int{}
	for i := range 300 {
		n, err := schedule.Choose(nodes, schedule.Wish{Tenant: "default", Cell: fmt.Sprint("cell-", i)})
		if err != nil {
			t.Fatal(err)
		}
		got[n]++
	}
	for _, n := range nodes {
		if got[n.Name] < 60 {
			t.Errorf("of 300 cells the nodes get %v", got)
		}
	}
}

func TestManyReasonsAreSaidInShort(t *testing.T) {
	var nodes []schedule.Node
	for i := range 20 {
		nodes = append(nodes, with(usual(fmt.Sprintf("n%02d", i)), func(n *schedule.Node) { n.Closed = "it is draining" }))
	}
	_, err := schedule.Choose(nodes, schedule.Wish{Cell: "c"})
	var refused *schedule.Refused
	if !errors.As(err, &refused) || len(refused.Reasons) != 20 || !strings.HasSuffix(err.Error(), "n07: it is draining; and 12 more") {
		t.Errorf("error %v", err)
	}
	if _, err := schedule.Choose(nil, schedule.Wish{Cell: "c"}); err == nil || !strings.Contains(err.Error(), "none is known") {
		t.Errorf("without nodes: %v", err)
	}
}

// Whatever there is: what is chosen can have the cell, the order of nodes means nothing, and
// either there is a node or a reason for each.
func TestChoiceHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.SliceOfNDistinct(rapid.Custom(anyNode), 0, 6, func(n schedule.Node) string { return n.Name }).Draw(t, "nodes")
		w := schedule.Wish{Tenant: "t", Cell: "c", Strategy: rapid.SampledFrom([]schedule.Strategy{"", schedule.Spread, schedule.Pack}).Draw(t, "strategy"),
			Memory: rapid.Int64Range(0, 100).Draw(t, "memory"), Backend: rapid.SampledFrom([]string{"", "process"}).Draw(t, "backend")}
		got, err := schedule.Choose(nodes, w)
		rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		if again, _ := schedule.Choose(nodes, w); again != got {
			t.Fatalf("it chooses %q, and in another order %q", got, again)
		}
		if err != nil {
			var refused *schedule.Refused
			if !errors.As(err, &refused) || len(refused.Reasons) != len(nodes) {
				t.Fatalf("of %d nodes: %v", len(nodes), err)
			}
			return
		}
		for _, n := range nodes {
			if n.Name == got && (n.Closed != "" || n.Memory > 0 && n.Memory-n.MemoryUsed < w.Memory || n.Cells > 0 && n.CellsUsed >= n.Cells || w.Backend != "" && len(n.Backends) == 0) {
				t.Fatalf("it chooses %+v for %+v", n, w)
			}
		}
	})
}

func anyNode(t *rapid.T) schedule.Node {
	n := schedule.Node{Name: rapid.StringMatching(`n[0-9]`).Draw(t, "name"), Memory: rapid.Int64Range(0, 100).Draw(t, "memory"), MemoryUsed: rapid.Int64Range(0, 120).Draw(t, "used"),
		Cells: rapid.IntRange(0, 4).Draw(t, "cells"), CellsUsed: rapid.IntRange(0, 5).Draw(t, "cells used"), CellsOfTenant: rapid.IntRange(0, 5).Draw(t, "of the tenant")}
	if rapid.Bool().Draw(t, "process") {
		n.Backends = []string{"process"}
	}
	if rapid.Bool().Draw(t, "closed") {
		n.Closed = "it is draining"
	}
	return n
}

func BenchmarkChoose(b *testing.B) {
	var nodes []schedule.Node
	for i := range 100 {
		nodes = append(nodes, with(usual(fmt.Sprint("n", i)), func(n *schedule.Node) { n.CellsUsed = i % 10 }))
	}
	w := schedule.Wish{Tenant: "t", Cell: "c", Labels: map[string]string{"zone": "a"}, Layers: []string{"landlock"}, Memory: 128 * mib}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schedule.Choose(nodes, w); err != nil {
			b.Fatal(err)
		}
	}
}

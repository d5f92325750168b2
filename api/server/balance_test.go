package server

import (
	"fmt"
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// Shares become alike, whatever nodes can have, and no cell moves for nothing.
func TestBalance(t *testing.T) {
	loads := func(of ...[2]int) (all []*load) {
		for i, n := range of {
			l := &load{node: fmt.Sprint("n", i+1), has: n[0], most: n[1]}
			for j := range n[0] {
				l.cells = append(l.cells, &pb.CellRef{Tenant: "t", Name: fmt.Sprint(l.node, "-", j)})
			}
			all = append(all, l)
		}
		return all
	}
	stuck := loads([2]int{6, 10}, [2]int{0, 10})
	stuck[0].cells = stuck[0].cells[:1]
	for name, c := range map[string]struct {
		loads []*load
		most  int
		want  map[string]int // what each has then
		moves int
	}{
		"one has all":            {loads([2]int{9, 10}, [2]int{0, 10}, [2]int{0, 10}), 100, map[string]int{"n1": 3, "n2": 3, "n3": 3}, 6},
		"one is twice as large":  {loads([2]int{9, 20}, [2]int{0, 10}), 100, map[string]int{"n1": 6, "n2": 3}, 3},
		"alike but for one cell": {loads([2]int{3, 10}, [2]int{2, 10}), 100, map[string]int{"n1": 3, "n2": 2}, 0},
		"no more than asked for": {loads([2]int{9, 10}, [2]int{0, 10}), 2, map[string]int{"n1": 7, "n2": 2}, 2},
		"only what may move":     {stuck, 100, map[string]int{"n1": 5, "n2": 1}, 1},
		"one node":               {loads([2]int{9, 10}), 100, map[string]int{"n1": 9}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			moves := balance(c.loads, c.most)
			moved := map[string]bool{}
			for _, m := range moves {
				if moved[m.GetCell().GetName()] || m.GetFrom() == m.GetTo() {
					t.Errorf("%v moves twice, or nowhere", m)
				}
				moved[m.GetCell().GetName()] = true
			}
			if len(moves) != c.moves {
				t.Errorf("%d moves: %v", len(moves), moves)
			}
			for _, l := range c.loads {
				if l.has != c.want[l.node] {
					t.Errorf("%s has %d", l.node, l.has)
				}
			}
		})
	}
}

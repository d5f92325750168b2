package numa

import (
	"errors"
	"strings"
	"testing"
)

// some is a topology of holes: 1 has no processors, 2 is not there, 3 has no memory.
var some = Topology{Nodes: []Node{{0, []int{0, 1}, 8, 4}, {1, nil, 8, 8}, {3, []int{2}, 0, 0}, {4, []int{3}, 8, 6}}}

func TestParsePlacement(t *testing.T) {
	for text, want := range map[string]string{"auto": "auto", "0": "node 0", "node 0": "node 0", "node 3": "node 3", "4": "node 4"} {
		if p, err := some.ParsePlacement(text); err != nil || p.String() != want {
			t.Errorf("%q: %s, %v", text, p, err)
		}
	}
	for text, want := range map[string]string{
		"2":         "no node 2; there are 0, 3, 4",
		"node 7":    "no node 7; there are 0, 3, 4",
		"node 1":    "node 1 has no processor",
		"node 1023": "no node 1023",
	} {
		if p, err := some.ParsePlacement(text); !errors.Is(err, ErrNoNode) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "node", "node ", "node  1", "Auto", "-1", "+1", "1,2", "0-1", "node 99999", "65536", "any"} {
		if p, err := some.ParsePlacement(text); err == nil || errors.Is(err, ErrNoNode) {
			t.Errorf("%q: %s, %v", text, p, err)
		}
	}
}

func TestPick(t *testing.T) {
	fixed := Placement{fixed: true, node: 3}
	for name, c := range map[string]struct {
		p     Placement
		hosts map[int]int
		want  int
	}{
		"the most free memory": {Placement{}, nil, 4},
		"the fewest hosts":     {Placement{}, map[int]int{0: 1, 3: 1, 4: 2}, 0},
		"also with no memory":  {Placement{}, map[int]int{0: 1, 4: 1}, 3},
		"fixed":                {fixed, map[int]int{3: 9}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if n, err := some.Pick(c.p, c.hosts); err != nil || n.ID != c.want {
				t.Errorf("node %d, %v", n.ID, err)
			}
		})
	}
	same := Topology{Nodes: []Node{{2, []int{1}, 8, 8}, {1, []int{0}, 8, 8}}}
	if n, err := same.Pick(Placement{}, nil); err != nil || n.ID != 1 {
		t.Errorf("of equals: node %d, %v", n.ID, err)
	}
	for _, p := range []Placement{{}, fixed} {
		if n, err := (Topology{Nodes: []Node{{ID: 1}}}).Pick(p, nil); !errors.Is(err, ErrNoNode) {
			t.Errorf("%s of none: %+v, %v", p, n, err)
		}
	}
}

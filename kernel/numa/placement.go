package numa

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Placement is where hosts are to be. The zero value leaves the choice to Pick.
type Placement struct {
	fixed bool
	node  int
}

// ParsePlacement takes "auto", "node N" or "N". The error for a node that hosts cannot be
// on wraps ErrNoNode and names those that there are.
func (t Topology) ParsePlacement(text string) (Placement, error) {
	if text == "auto" {
		return Placement{}, nil
	}
	number, err := strconv.ParseUint(strings.TrimPrefix(text, "node "), 10, 16)
	if err != nil {
		return Placement{}, fmt.Errorf(`numa: %.40q is no placement; write "auto" or "node N"`, text)
	}
	n, err := t.node(int(number))
	return Placement{fixed: true, node: n.ID}, err
}

func (p Placement) String() string {
	if !p.fixed {
		return "auto"
	}
	return "node " + strconv.Itoa(p.node)
}

// node returns one that processes can be on.
func (t Topology) node(id int) (Node, error) {
	var with []string
	for _, n := range t.Nodes {
		switch {
		case n.ID == id && len(n.CPUs) > 0:
			return n, nil
		case n.ID == id:
			return Node{}, fmt.Errorf("%w: node %d has no processor that this process may use", ErrNoNode, id)
		case len(n.CPUs) > 0:
			with = append(with, strconv.Itoa(n.ID))
		}
	}
	return Node{}, fmt.Errorf("%w: there is no node %d; there are %s", ErrNoNode, id, strings.Join(with, ", "))
}

// Pick returns the node for the next host; hosts counts those that each node has. Without
// a fixed one it is that with the fewest hosts, of these that with the most free memory.
func (t Topology) Pick(p Placement, hosts map[int]int) (Node, error) {
	if p.fixed {
		return t.node(p.node)
	}
	usable := slices.DeleteFunc(slices.Clone(t.Nodes), func(n Node) bool { return len(n.CPUs) == 0 })
	if len(usable) == 0 {
		return Node{}, fmt.Errorf("%w: none has a processor that this process may use", ErrNoNode)
	}
	return slices.MinFunc(usable, func(a, b Node) int {
		return cmp.Or(cmp.Compare(hosts[a.ID], hosts[b.ID]), cmp.Compare(b.Free, a.Free), cmp.Compare(a.ID, b.ID))
	}), nil
}

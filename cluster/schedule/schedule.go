package schedule

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// Strategy says which of the nodes that can have a cell gets it.
type Strategy string

// The strategies. Spread is the default.
const (
	Spread Strategy = "spread"
	Pack   Strategy = "pack"
)

// Node is one that could have a cell, as it is known here.
type Node struct {
	Name string
	// Closed is why it takes no cells now: it drains, has no lease, is not seen. "": it does.
	Closed   string
	Labels   map[string]string
	Backends []string
	Layers   []string
	Python   string // its ABI, as cpython-314
	// NUMA is how many memory nodes it has; 0 is not known, and counts as 1.
	NUMA int
	// Memory that its cells may have together, in bytes, and what they have of it; 0: no bound.
	Memory, MemoryUsed int64
	// Cells that it runs at most, and runs, and how many of the wish's tenant; 0: no bound.
	Cells, CellsUsed, CellsOfTenant int
}

// Wish is what a cell needs. The zero value of a field wishes for nothing.
type Wish struct {
	Tenant, Cell string
	// Node is the only one that will do.
	Node string
	// Labels that the node must have. A value "*" is any.
	Labels   map[string]string
	Strategy Strategy
	Backend  string
	Layers   []string
	Python   string
	// Memory of the cell, in bytes: what its limit permits.
	Memory int64
	// OneNUMA has the memory be free on one of the node's memory nodes, as far as that can be told
	// from how much is free in all.
	OneNUMA bool
}

// Reason is why a node cannot have a cell.
type Reason struct {
	Node, Why string
	// Lasting: it is what the node is, and not how it is now.
	Lasting bool
}

// Refused is the error of a wish that no node can fulfil.
type Refused struct {
	Cell string
	// Reasons of all nodes, by name.
	Reasons []Reason
}

// Lasting says that no node will have the cell as long as all are what they are.
func (r *Refused) Lasting() bool {
	return len(r.Reasons) > 0 && !slices.ContainsFunc(r.Reasons, func(one Reason) bool { return !one.Lasting })
}

// shown is how many reasons an error's text has.
const shown = 8

// Error implements error.
func (r *Refused) Error() string {
	if len(r.Reasons) == 0 {
		return fmt.Sprintf("no node for cell %s: none is known", r.Cell)
	}
	var all []string
	for _, one := range r.Reasons[:min(len(r.Reasons), shown)] {
		all = append(all, one.Node+": "+one.Why)
	}
	if more := len(r.Reasons) - shown; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("no node for cell %s: %s", r.Cell, strings.Join(all, "; "))
}

// Choose names the node for a cell. The error is *[Refused].
func Choose(nodes []Node, w Wish) (string, error) {
	var best *Node
	refused := &Refused{Cell: w.Cell}
	for i := range nodes {
		n := &nodes[i]
		if why, lasting := w.unfit(n); why != "" {
			refused.Reasons = append(refused.Reasons, Reason{n.Name, why, lasting})
			continue
		}
		if best == nil || w.compare(n, best) < 0 {
			best = n
		}
	}
	if best != nil {
		return best.Name, nil
	}
	if w.Node != "" && !slices.ContainsFunc(nodes, func(n Node) bool { return n.Name == w.Node }) {
		refused.Reasons = []Reason{{w.Node, "there is no such node", true}}
	}
	slices.SortFunc(refused.Reasons, func(a, b Reason) int { return strings.Compare(a.Node, b.Node) })
	return "", refused
}

// unfit says why a node cannot have the cell, or "". Of one that is closed nothing else is told: what
// it has may not be known.
func (w Wish) unfit(n *Node) (why string, lasting bool) {
	if w.Node != "" && n.Name != w.Node {
		return "it is not node " + w.Node, true
	}
	if n.Closed != "" {
		return n.Closed, false
	}
	if why := w.lacks(n); why != "" {
		return why, true
	}
	return w.noRoom(n), false
}

// lacks says what the node has not that the cell needs, or "".
func (w Wish) lacks(n *Node) string {
	switch {
	case w.Backend != "" && !slices.Contains(n.Backends, w.Backend):
		return "it has no backend " + w.Backend
	case w.Python != "" && n.Python != w.Python:
		return fmt.Sprintf("its Python is %s, not %s", cmp.Or(n.Python, "not known"), w.Python)
	}
	for _, layer := range w.Layers {
		if !slices.Contains(n.Layers, layer) {
			return "it lacks the layer " + layer
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.Labels)) {
		value, has := n.Labels[key]
		switch want := w.Labels[key]; {
		case !has:
			return "it has no label " + key
		case want != "*" && want != value:
			return fmt.Sprintf("its label %s is %s, not %s", key, cmp.Or(value, "empty"), cmp.Or(want, "empty"))
		}
	}
	return ""
}

// noRoom says why the node has no room, or "".
func (w Wish) noRoom(n *Node) string {
	free := n.Memory - n.MemoryUsed
	switch {
	case n.Cells > 0 && n.CellsUsed >= n.Cells:
		return fmt.Sprintf("it has %d cells, which is the most", n.CellsUsed)
	case n.Memory == 0:
		return ""
	case w.Memory > free:
		return fmt.Sprintf("%s of its memory are free, the cell may take %s", Bytes(max(free, 0)), Bytes(w.Memory))
	case w.OneNUMA && n.NUMA > 1 && w.Memory > min(n.Memory/int64(n.NUMA), free):
		return fmt.Sprintf("a memory node of it has %s, the cell may take %s", Bytes(min(n.Memory/int64(n.NUMA), free)), Bytes(w.Memory))
	}
	return ""
}

// compare is negative when a is the better one.
func (w Wish) compare(a, b *Node) int {
	used := cmp.Compare(a.inUse(), b.inUse())
	if w.Strategy == Pack {
		used = -used
		return cmp.Or(used, -cmp.Compare(a.CellsOfTenant, b.CellsOfTenant), w.lot(a, b))
	}
	return cmp.Or(cmp.Compare(a.CellsOfTenant, b.CellsOfTenant), used, w.lot(a, b))
}

// inUse is the part of a node that is taken, in thousandths: of its memory or its cells, whichever
// is more. A node without bounds counts its cells.
func (n *Node) inUse() int64 {
	var most int64
	if n.Memory > 0 {
		most = int64(float64(n.MemoryUsed) / float64(n.Memory) * 1000)
	}
	if n.Cells > 0 {
		most = max(most, int64(n.CellsUsed)*1000/int64(n.Cells))
	}
	if n.Memory <= 0 && n.Cells <= 0 {
		most = int64(n.CellsUsed)
	}
	return most
}

// lot decides between two that are alike: for each cell in its own way, and always the same.
func (w Wish) lot(a, b *Node) int {
	return cmp.Or(cmp.Compare(w.draw(a.Name), w.draw(b.Name)), strings.Compare(a.Name, b.Name))
}

func (w Wish) draw(node string) uint64 {
	h := fnv.New64a()
	for _, s := range []string{w.Tenant, w.Cell, node} {
		_, _ = h.Write([]byte(s)) // never fails
		_, _ = h.Write([]byte{0})
	}
	// Names that differ in their last byte alone differ in few bits of the hash.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

// Bytes is a size for people.
func Bytes(n int64) string {
	const unit = 1024
	switch {
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1f GiB", float64(n)/(unit*unit*unit))
	case n >= unit*unit:
		return fmt.Sprintf("%.0f MiB", float64(n)/(unit*unit))
	}
	return fmt.Sprintf("%d bytes", n)
}

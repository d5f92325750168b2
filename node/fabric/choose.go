package fabric

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/schedule"
)

// Choose implements server.Fabric.
func (f *Fabric) Choose(_ context.Context, w schedule.Wish, without []string) (string, error) {
	if f.at() == nil {
		return "", errCutOff
	}
	nodes := f.nodes(w.Tenant)
	for i := range nodes {
		if slices.Contains(without, nodes[i].Name) && nodes[i].Closed == "" {
			nodes[i].Closed = "it was asked, and does not take it"
		}
	}
	node, err := schedule.Choose(nodes, w)
	var refused *schedule.Refused
	if errors.As(err, &refused) {
		if refused.Lasting() {
			return "", cell.Errorf(cell.Invalid, "%v", err)
		}
		if f.Valid() != nil { // nor does it know of other nodes what they have
			return "", fmt.Errorf("%w: %v", errCutOff, err) //nolint:errorlint // why no node has room is only told
		}
		return "", cell.Errorf(cell.Busy, "%v", err)
	}
	return node, err
}

// Takes implements server.Fabric.
func (f *Fabric) Takes(node string) bool {
	c := f.at()
	if c == nil {
		return false
	}
	all := c.Members()
	i := slices.IndexFunc(all, func(m cluster.Member) bool { return m.Name == node })
	return i >= 0 && f.node(c, all[i]).Closed == ""
}

// nodes are all members as placement sees them, with the cells of a tenant counted.
func (f *Fabric) nodes(tenant string) (all []schedule.Node) {
	c := f.at()
	of := map[string]int{}
	for _, r := range c.Group().Records(tenant) {
		of[r.Owner.Node]++
	}
	for _, m := range c.Members() {
		n := f.node(c, m)
		n.CellsOfTenant = of[m.Name]
		all = append(all, n)
	}
	return all
}

// node is a member as placement sees it.
func (f *Fabric) node(c Cluster, m cluster.Member) schedule.Node {
	n := nodeOf(m)
	if m.Name == c.Self() {
		f.here(&n)
	}
	return n
}

// nodeOf is what a member says of itself.
func nodeOf(m cluster.Member) schedule.Node {
	n := schedule.Node{Name: m.Name, Labels: m.Meta.Labels, Backends: m.Meta.Backends, Layers: m.Meta.Layers, Python: m.Meta.Python,
		NUMA: int(m.Meta.NUMA), Memory: int64(m.Meta.Memory), MemoryUsed: int64(m.Meta.Taken), Cells: int(m.Meta.Cells), CellsUsed: int(m.Meta.Running)}
	switch {
	case m.State != cluster.Alive:
		n.Closed = fmt.Sprintf("it is not seen (%s)", m.State)
	case m.Meta.Leaving:
		n.Closed = "it is ending"
	case m.Meta.Closed != "":
		n.Closed = "it is " + m.Meta.Closed
	case !m.Session:
		n.Closed = "it has no lease"
	}
	return n
}

// here fills in what this node knows better of itself than gossip.
func (f *Fabric) here(n *schedule.Node) {
	room, meta := f.config.Node.Room(), f.config.Node.Meta()
	n.Labels, n.Backends, n.Layers, n.Python, n.NUMA = meta.Labels, meta.Backends, meta.Layers, meta.Python, int(meta.NUMA)
	n.Cells, n.CellsUsed, n.Memory, n.MemoryUsed = room.Cells, room.CellsUsed, room.Memory, room.MemoryUsed
	n.Closed = room.Closed
	if n.Closed == "" && f.Valid() != nil {
		n.Closed = "it has no lease"
	}
}

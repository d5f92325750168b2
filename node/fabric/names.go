package fabric

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cluster/directory"
)

// names is the directory of actors: those of this node, and by way of their nodes the others.
type names struct {
	fabric *Fabric
	local  actors.Local
	stray  sync.Map // *actor.PID: its end gives no name back
}

var _ actors.Directory = (*names)(nil)

// Names is the directory for the System of this node's actors.
func (f *Fabric) Names() actors.Directory { return &f.names }

// Lookup implements actors.Directory. What the cluster says is elsewhere is not here, also when
// an actor of this node has not given the name up yet.
func (n *names) Lookup(a actors.Address) (actors.Entry, bool) {
	if node := n.fabric.elsewhere(a); node != "" {
		if via := n.fabric.at().Via(node); via != nil {
			return actors.Entry{Via: via}, true
		}
		return actors.Entry{}, false
	}
	return n.local.Lookup(a)
}

// Claim implements actors.Directory: the name is claimed of the cluster later, when the cell
// that is to have it is made.
func (n *names) Claim(a actors.Address, e actors.Entry) bool { return n.local.Claim(a, e) }

// Release implements actors.Directory.
func (n *names) Release(a actors.Address, pid *actor.PID) {
	n.fabric.ended(a, func() bool {
		_, stray := n.stray.LoadAndDelete(pid)
		e, has := n.local.Lookup(a)
		return has && e.PID == pid && !stray
	})
	n.local.Release(a, pid)
}

// Leave implements actors.Directory: the record is another node's by now, or this node's again for
// another actor.
func (n *names) Leave(a actors.Address, pid *actor.PID) {
	n.stray.Delete(pid)
	n.local.Leave(a, pid)
}

// strays notes that the actor which has a name here is not that of the name's cell, which comes to this
// node: its end must not be taken for the cell's. Where the record becomes this node's, that is done at once with it:
// both with f.mu held.
func (n *names) strays(a actors.Address) {
	if e, here := n.local.Lookup(a); here && e.PID != nil {
		n.stray.Store(e.PID, true)
	}
}

// List implements actors.Directory: the names of this node.
func (n *names) List(tenant string) []actors.Address { return n.local.List(tenant) }

func cellOf(a actors.Address) directory.Cell {
	return directory.Cell{Tenant: a.Tenant, Name: a.Name}
}

func addressOf(c directory.Cell) actors.Address {
	return actors.Address{Tenant: c.Tenant, Name: c.Name}
}

// record is what is known here of a cell: what was agreed, and what this node was told of its own
// before its replica has it.
func (f *Fabric) record(a actors.Address) (directory.Record, bool) {
	c := f.at()
	if c == nil {
		return directory.Record{}, false
	}
	f.mu.RLock()
	own, ours := f.owned[a]
	f.mu.RUnlock()
	r, known := c.Group().Find(cellOf(a))
	if ours && (!known || own.Epoch > r.Epoch) {
		return own, true
	}
	return r, known
}

// elsewhere is the other node that has a cell, or "".
func (f *Fabric) elsewhere(a actors.Address) string {
	r, known := f.record(a)
	if !known || r.Owner.Node == f.Self() {
		return ""
	}
	return r.Owner.Node
}

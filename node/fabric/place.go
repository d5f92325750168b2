package fabric

import (
	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/directory"
)

var _ server.Fabric = (*Fabric)(nil)

func placeOf(r directory.Record) server.Place {
	p := server.Place{Address: addressOf(r.Cell), Node: r.Owner.Node, Lost: r.Lost, Session: r.Owner.Session, Epoch: r.Epoch, Claim: r.Claim,
		Phase: string(r.Phase), Target: r.Target.Node, Migration: r.Migration, Checkpoint: r.Checkpoint, Copies: r.Copies, Yielded: r.Yielded}
	if b := r.Before; b != nil {
		p.Before, p.BeforeCopies = b.Checkpoint, b.Copies
	}
	return p
}

// Find implements server.Fabric.
func (f *Fabric) Find(a actors.Address) (server.Place, bool) {
	r, known := f.record(a)
	return placeOf(r), known
}

// Places implements server.Fabric.
func (f *Fabric) Places(tenant string) (all []server.Place) {
	c := f.at()
	if c == nil {
		return nil
	}
	for _, r := range c.Group().Records(tenant) {
		all = append(all, placeOf(r))
	}
	return all
}

// Peers implements server.Fabric.
func (f *Fabric) Peers() (all []string) {
	for _, m := range f.members() {
		if m.Name != f.Self() && m.State == cluster.Alive {
			all = append(all, m.Name)
		}
	}
	return all
}

// Lost implements server.Fabric.
func (f *Fabric) Lost() (all []*pb.Node) {
	for _, m := range f.members() {
		if m.Name != f.Self() && m.State != cluster.Alive {
			all = append(all, &pb.Node{Id: m.Name, State: string(m.State)})
		}
	}
	return all
}

// members are all, by name.
func (f *Fabric) members() []cluster.Member {
	if c := f.at(); c != nil {
		return c.Members()
	}
	return nil
}

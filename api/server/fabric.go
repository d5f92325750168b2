package server

import (
	"context"
	"net/http"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cluster/schedule"
)

// Fabric is the cluster that a node's cells are of: which node has a cell, and which is to have a
// new one. Its methods may be called from any goroutine; those without a
// context must not block. Errors are of package cell's vocabulary, or fault.ErrUnavailable.
type Fabric interface {
	// Self is the name of this node.
	Self() string
	// Find tells what this node knows of a cell; false: no node has it.
	Find(a actors.Address) (Place, bool)
	// Refresh returns when this node knows all that was agreed before the call.
	Refresh(ctx context.Context) error
	// Places are what this node knows of a tenant's cells, or with "" of all, by tenant and name.
	Places(tenant string) []Place
	// Peers are the other nodes that are there, as far as can be told, by name.
	Peers() []string
	// Choose names the node for a new cell, none of those in without.
	Choose(ctx context.Context, w schedule.Wish, without []string) (node string, err error)
	// Claim gives this node a name, for the request that wants it. The place is another node's, or
	// an earlier one of this node's, when the same request had it claimed before. An empty request
	// is like no other.
	Claim(ctx context.Context, a actors.Address, request, policy string, version uint64) (Place, error)
	// Restart gives the incarnation after the one of that epoch, of a cell of this node, its own.
	Restart(ctx context.Context, a actors.Address, epoch uint64) (next uint64, err error)
	// HTTP carries requests to the API of another node, as that of Server.ServeNodes. An error that
	// is fault.ErrUnavailable says that the request was not sent.
	HTTP(node string) http.RoundTripper
	// Lost describes the members that are not there, for ListNodes: their names, and why.
	Lost() []*pb.Node
}

// Place is what is agreed about a cell.
type Place struct {
	Address actors.Address
	// Node that has it, "" of one whose node is gone, and Lost that node.
	Node, Lost string
	// Session of the node in which it has the cell.
	Session uint64
	Epoch   uint64
	// Claim is the request that it was started by.
	Claim string
}

// same says that both are the same cell, on the same node, in the same life of it.
func (p Place) same(o Place) bool {
	return p.Node == o.Node && p.Session == o.Session && p.Claim == o.Claim
}

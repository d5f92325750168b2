package server

import (
	"context"
	"net/http"
	"slices"

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
	// Takes says whether a node takes cells now, as far as is known here: it is there, has a lease and does
	// not drain.
	Takes(node string) bool
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
	// Discard forgets a suspended cell: its name is free. One that has been forgotten before is no error; one
	// that is in another epoch, as a node has it by now, is policystore.ErrConflict.
	Discard(ctx context.Context, a actors.Address, epoch uint64) error
	// Lost describes the members that are not there, for ListNodes: their names, and why.
	Lost() []*pb.Node
	Mover
}

// Mover is what nodes agree on when a cell goes from one to another. Each change names the epoch that it
// is about; one that was overtaken is policystore.ErrConflict and changes nothing, cell.CellGone of a cell
// that is no more. A change that is made again after a lost answer is no error. fault.ErrUnavailable: it
// cannot be told whether it was made; Decided tells, when there is a leader again.
//
// A place of an answer is what was agreed last. When it is this node in its session of now, the cell is
// this node's in that epoch: it runs it, or gives it up by Yield, or by the end of its actor. When it is
// not, this node has nothing of it any more, and the end of its actor gives nothing back.
type Mover interface {
	// Seat is the session of a node, as far as is known here; false: it has none, and takes no cell.
	Seat(node string) (session uint64, ok bool)
	// Via is the way to the cells of another node, whatever they are.
	Via(node string) actors.Via
	// BeginMove says that a cell of this node is to go to another one in that session. The cell goes on.
	BeginMove(ctx context.Context, a actors.Address, epoch uint64, migration, to string, session uint64) error
	// Freeze says that the guest is stopped, and that its state is on the disks of nodes, this one and
	// the target among them. From then on the target may have it at any time.
	Freeze(ctx context.Context, a actors.Address, epoch uint64, checkpoint string, nodes []string) error
	// Activate makes this node, the target, the owner of a frozen cell, in the next epoch. That it is
	// so because the source is gone is no error.
	Activate(ctx context.Context, a actors.Address, epoch uint64) (Place, error)
	// AbortMove ends a move that has not been decided. The place says how it was decided: the
	// source's in the next epoch, or the target's, which is no error. The source has the next epoch
	// also of a move that has not begun: the word that it begins may be on its way.
	AbortMove(ctx context.Context, a actors.Address, epoch uint64) (Place, error)
	// Resume says of a cell of this node, which has come back from a move, that it goes on with the guest
	// that was stopped: the checkpoint of the move is not needed, and the one before it counts again. After
	// an AbortMove that is so already.
	Resume(ctx context.Context, a actors.Address, epoch uint64, checkpoint string) error
	// Yield gives a cell of this node, which cannot run it, to another that has its checkpoint and has
	// not yielded it, or has it suspended. It is called before an actor of the cell ends, or that end
	// gives the name up for all; while the cell is on its way here and in somebody's hand, that end
	// yields it.
	Yield(ctx context.Context, a actors.Address, epoch uint64) (Place, error)
	// Adopt makes this node, which has its checkpoint, the owner of a suspended cell.
	Adopt(ctx context.Context, a actors.Address, epoch uint64) (Place, error)
	// Save says of a cell of this node that its state is on the disks of nodes, this one among them: one of
	// them is its owner when this one is gone. Of others than these it is not from then on.
	Save(ctx context.Context, a actors.Address, epoch uint64, checkpoint string, nodes []string) error
	// DropCopy says that this node does not count as one that has the checkpoint any more: its file may be
	// removed when that succeeded. cell.Busy: it is needed here, as the owner's, a target's or the last one.
	DropCopy(ctx context.Context, a actors.Address, epoch uint64, checkpoint string) error
	// Decided waits until a cell is in a later epoch than that, and says where; or the error of ctx. It
	// is fault.ErrUnavailable when this node has no lease any more: its guests have been ended then.
	Decided(ctx context.Context, a actors.Address, epoch uint64) (Place, error)
	// Hand is held by the source for all of a move, and by the target from before Activate until the
	// cell's actor is there. Until release, what the cluster decides about the cell is left to its
	// holder: an actor that has lost its cell is not ended, its name is not given to others, and that the
	// cell has come to this node is not told of. The end of the lease ends all nevertheless. With release
	// all that was left is done. Several may hold the same cell; release may be called twice.
	Hand(a actors.Address) (release func())
	// Runs says that a cell which came to this node runs here: its end is one from now on, and no reason to have it
	// go on elsewhere.
	Runs(a actors.Address)
}

// Phases of a Place.
const (
	Active    = "active"
	Preparing = "prepare"
	Frozen    = "frozen"
	Suspended = "suspended"
)

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
	// Phase is one of those above. A cell that is Preparing runs at Node, a Frozen one nowhere.
	Phase string
	// Target and Migration of a move under way.
	Target, Migration string
	// Checkpoint that it can be restored from, and Copies the nodes that have it, by name.
	Checkpoint string
	Copies     []string
	// Yielded are those of Copies that could not have it go on from there.
	Yielded []string
	// Before is the checkpoint that counts again if the move which Checkpoint is of comes to nothing, and
	// BeforeCopies the nodes that have it.
	Before       string
	BeforeCopies []string
}

// Needs says whether a node must keep a checkpoint.
func (p Place) Needs(node, checkpoint string) bool {
	return p.Checkpoint == checkpoint && slices.Contains(p.Copies, node) || p.Before == checkpoint && slices.Contains(p.BeforeCopies, node)
}

// same says that both are the same cell, on the same node, in the same life of it.
func (p Place) same(o Place) bool {
	return p.Node == o.Node && p.Session == o.Session && p.Claim == o.Claim
}

// Resumes says whether a guest that node holds, which it stopped when the place was before, may go on at
// p, and need not be restored: no other has run since, or what ran has left nothing. checkpoint is the
// guest's as it was stopped; "": there is none.
func (p Place) Resumes(before Place, checkpoint string) bool {
	return p.same(before) && p.Phase == Active &&
		(p.Epoch == before.Epoch || p.Epoch == before.Epoch+1 || checkpoint != "" && p.Checkpoint == checkpoint)
}

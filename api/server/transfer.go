package server

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// transfers serves TransferService: what this node does for another one whose cell comes here. Only nodes
// call it. Its methods may be called from any goroutine.
type transfers struct {
	*cells
	ending context.Context // done when the server is
	turns  chan struct{}   // of cells whose nodes are gone

	mu       sync.Mutex
	all      map[reserved]*reservation
	replicas map[string]*replica // by checkpoint
	bringing map[cellKey]*bringing
	restores map[cellKey]*restoring
}

var _ api.TransferServiceHandler = (*transfers)(nil)

func newTransfers(ending context.Context, c *cells) *transfers {
	return &transfers{cells: c, ending: ending, turns: make(chan struct{}, inheritedAtOnce), all: map[reserved]*reservation{}, replicas: map[string]*replica{},
		bringing: map[cellKey]*bringing{}, restores: map[cellKey]*restoring{}}
}

// Reserve implements the call.
func (t *transfers) Reserve(ctx context.Context, r *connect.Request[pb.ReserveRequest]) (*connect.Response[pb.ReserveResponse], error) {
	from := peerOf(ctx).node
	k := cellKey{r.Msg.GetCell().GetTenant(), r.Msg.GetCell().GetName()}
	if err := t.canTake(k, r.Msg); err != nil {
		return nil, err
	}
	if err := t.hasRoom(k, r.Msg.GetSize()); err != nil {
		return nil, err
	}
	place, err := t.ownedBy(ctx, k.address(), from)
	if err != nil {
		return nil, err
	}
	if place.Epoch != r.Msg.GetEpoch() {
		return nil, fmt.Errorf("%w: cell %s is in epoch %d, not in %d", policystore.ErrConflict, k, place.Epoch, r.Msg.GetEpoch())
	}
	session, ok := t.fabric.Seat(t.fabric.Self())
	if !ok {
		return nil, fmt.Errorf("%w: node %s has no lease", fault.ErrUnavailable, t.fabric.Self())
	}
	// Who spawned it had what it was spawned with; what he may have by now is his policy's matter.
	ctx = context.WithValue(ctx, principalKey{}, policystore.Principal{Name: r.Msg.GetPrincipal(), Role: policystore.Admin})
	v := &reservation{reserved: reserved{from, r.Msg.GetMigration()}, asked: recorded(r.Msg.GetSpawn()), taken: make(chan struct{})}
	if err := t.supersede(ctx, v.reserved, k); err != nil {
		return nil, err
	}
	if err := t.reserve(ctx, v, k, r.Msg); err != nil {
		return nil, err
	}
	madePoint.Hit()
	return connect.NewResponse(&pb.ReserveResponse{Session: session}), nil
}

// ownedBy is where a cell is by what is agreed, if that is a node.
func (t *transfers) ownedBy(ctx context.Context, a actors.Address, node string) (Place, error) {
	if err := t.fabric.Refresh(ctx); err != nil {
		return Place{}, err
	}
	place, known := t.fabric.Find(a)
	if !known || place.Node != node {
		return Place{}, fmt.Errorf("%w: node %s does not have cell %s", policystore.ErrConflict, node, a)
	}
	return place, nil
}

// mayPush says whether a node may send a state of a cell: what is reserved for it waits for it, or it has the
// cell, of which this node is to keep a copy. Whose cell has no room here any more is told by expects.
func (t *transfers) mayPush(ctx context.Context, k cellKey, which reserved) error {
	if err := cell.ValidName("tenant", k.tenant); err != nil {
		return err
	}
	if err := cell.ValidName("cell", k.name); err != nil {
		return err
	}
	t.mu.Lock()
	v := t.all[which]
	waits := v != nil && v.ready && v.entry.key == k
	t.mu.Unlock()
	if waits {
		return nil
	}
	if _, is := copyOf(which.migration); is && !t.fabric.Takes(t.fabric.Self()) {
		return cell.Errorf(cell.Busy, "node %s takes no cells now, and no copies of their checkpoints", t.node())
	}
	_, err := t.ownedBy(ctx, k.address(), which.from)
	return err
}

// canTake says what of it alone a node lacks.
func (t *transfers) canTake(k cellKey, r *pb.ReserveRequest) error {
	switch {
	case t.checkpoints == nil:
		return errNoCheckpoints
	case r.GetMigration() == "" || len(r.GetMigration()) > maxRequestID || r.GetId() == "" || len(r.GetId()) > maxRequestID:
		return cell.Errorf(cell.Invalid, "a migration and a cell's id have 1 to %d bytes each", maxRequestID)
	case r.GetPython() != t.checkpoints.Python():
		return cell.Errorf(cell.Invalid, "the cell needs Python %s; node %s has %q", r.GetPython(), t.node(), t.checkpoints.Python())
	}
	if err := cell.ValidName("tenant", k.tenant); err != nil {
		return err
	}
	return cell.ValidName("cell", k.name)
}

// hasRoom says that the disk here has no room for a state, before its cell is stopped for it. Size is what the state
// had at its last checkpoint, or less, and it may have shrunk since: refused is what does not have half of that. If it
// has shrunk further it is refused wrongly, until its next checkpoint, by a node that could hardly keep one more. All
// else is left to who writes the file.
func (t *transfers) hasRoom(k cellKey, size int64) error {
	if size <= 0 {
		return nil
	}
	free, known, err := t.checkpoints.Archive.Room(k.tenant)
	if err != nil {
		return t.worded(err)
	}
	if !known || free >= size/2 {
		return nil
	}
	return &fault.Hinted{Err: fmt.Errorf("%w: the disk of node %s is full: it has %d bytes free, and the state of cell %s needs about %d", policystore.ErrLimited, t.node(), free, k, size),
		Hint: "make room there: remove checkpoints that nobody needs, or other files; or choose another node"}
}

// reserve makes the cell, or nothing.
func (t *transfers) reserve(ctx context.Context, v *reservation, k cellKey, r *pb.ReserveRequest) (err error) {
	terms, err := t.termsOf(ctx, k.tenant, v.asked)
	if err != nil {
		return err
	}
	terms.backend, terms.floor = "", cell.Backend(r.GetBackend())
	v.entry = newEntry(k, terms, actors.ID{})
	v.entry.id, v.entry.asked, v.entry.arriving = r.GetId(), v.asked, true
	if err := t.book.waitGone(ctx, k); err != nil {
		return err
	}
	if err := t.add(v); err != nil {
		return err
	}
	made := false
	defer func() { // also when something panics
		if !made {
			t.drop(v, "this node cannot have it")
		}
	}()
	if v.began, err = t.revision(ctx, tenantHolder(k.tenant), terms); err != nil {
		return err
	}
	if asked := r.GetPolicy().GetVersion(); v.began.Version < asked && terms.ref.version == 0 {
		return fmt.Errorf("%w: node %s has version %d of policy %s, and the cell is under %d", fault.ErrUnavailable, t.node(), v.began.Version, terms.ref, asked)
	}
	if v.resident, err = t.make(ctx, v.entry, v.began); err != nil {
		return err
	}
	if err := t.confines(ctx, v.resident.cell, r); err != nil {
		return err
	}
	if made = t.isMade(v); !made {
		return cell.Errorf(cell.Busy, "migration %s was given up", text(v.migration))
	}
	t.book.ends.Go(func() { t.watch(v) })
	return nil
}

// claimedBy is the request that the cell was spawned by, as the cluster knows it: it is known again when it
// comes again.
func (t *transfers) claimedBy(k cellKey) (by actors.ID) {
	place, _ := t.fabric.Find(k.address())
	if id, err := hex.DecodeString(place.Claim); err == nil && len(id) == len(by) {
		by = actors.ID(id)
	}
	return by
}

// confines says whether a cell is confined by all that the one to come is confined by.
func (t *transfers) confines(ctx context.Context, c cell.Cell, r *pb.ReserveRequest) error {
	own := c.Spec().Backend
	if document.Stronger(cell.Backend(r.GetBackend()), own) {
		return cell.Errorf(cell.PolicyDenied, "the cell is of backend %s, and node %s would run it as %s, which is weaker", r.GetBackend(), t.node(), own)
	}
	seen, err := c.Inspect(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, layer := range r.GetLayers() {
		if !holds(seen.Confinement, layer) {
			missing = append(missing, text(layer))
		}
	}
	if len(missing) > 0 {
		return cell.Errorf(cell.PolicyDenied, "the cell is confined by %s, which node %s does not have", strings.Join(missing, ", "), t.node())
	}
	return nil
}

func holds(c *cell.Confinement, layer string) bool {
	return c != nil && slices.ContainsFunc(c.Layers, func(l cell.Layer) bool { return l.Active && l.Name == layer })
}

// turnAway gives up all that is to come.
func (t *transfers) turnAway() {
	t.mu.Lock()
	all := slices.Collect(maps.Values(t.all))
	t.mu.Unlock()
	for _, v := range all {
		if t.take(v.reserved) != nil {
			t.drop(v, "its node takes no more cells")
		}
	}
}

// Cancel implements the call.
func (t *transfers) Cancel(ctx context.Context, r *connect.Request[pb.CancelRequest]) (*connect.Response[pb.CancelResponse], error) {
	if id, is := copyOf(r.Msg.GetMigration()); is && t.checkpoints != nil {
		if err := t.cancelCopy(ctx, id, peerOf(ctx).node); err != nil {
			return nil, err
		}
	}
	if v := t.take(reserved{peerOf(ctx).node, r.Msg.GetMigration()}); v != nil {
		t.drop(v, "it does not come")
	}
	return connect.NewResponse(&pb.CancelResponse{}), nil
}

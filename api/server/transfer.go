package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// maxReserved bounds how many empty cells wait at a time for other nodes; of them each tenant has its share.
const maxReserved = 64

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

// reserved names a reservation: no node gets at another's.
type reserved struct {
	from      string // "": this node is the owner already
	migration string
}

// arrival names what a node sends: no other node adds to it, or learns of it.
func (r reserved) arrival() string {
	sum := sha256.Sum256([]byte(r.from + "/" + r.migration))
	return hex.EncodeToString(sum[:])
}

var _ api.TransferServiceHandler = (*transfers)(nil)

// reservation is an empty cell for one that is to come: that it runs proves that this node can have it. While it
// is being made it is its maker's alone: others say that it is not wanted, and the maker ends it. Later it is
// whoever's takes it.
type reservation struct {
	reserved
	entry    *entry
	resident *resident
	asked    *pb.SpawnRequest
	began    live.Revision
	taken    chan struct{} // closed when it is the cell, or nobody's
	kept     []cell.Item   // that come with it; of who has taken it
	given    []string      // so are the batches among them
	owned    atomic.Uint64 // the epoch in which this node has the cell and nothing runs it yet; 0: none

	// Guarded by transfers.mu.
	ready    bool                // it is made
	unwanted bool                // it was given up before it was
	state    string              // the checkpoint that has come for it
	held     func()              // the file of its state may be removed; nil: there is none
	arrival  *checkpoint.Arrival // of its state; nil: nothing has come
	ahead    *early              // nil: the state is read when it is here
}

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

// isMade has others get what was reserved, unless it was given up meanwhile.
func (t *transfers) isMade(v *reservation) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	v.ready = !v.unwanted
	return v.ready
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

// add keeps the name for it. What this node owns already is refused no room that others have kept: it would be nobody's.
func (t *transfers) add(v *reservation) error {
	if err := t.book.keepFor(v.entry); err != nil {
		return err
	}
	t.mu.Lock()
	_, same := t.all[v.reserved]
	own, others := int64(0), int64(0)
	for _, one := range t.all {
		switch {
		case one.from == "":
		case one.entry.key.tenant == v.entry.key.tenant:
			own++
		default:
			others++
		}
	}
	full := v.from != "" && own >= share(maxReserved, others) // so that none has all
	if !same && !full {
		t.all[v.reserved] = v
	}
	t.mu.Unlock()
	switch {
	case same:
		t.book.withdraw(v.entry)
		return cell.Errorf(cell.Busy, "migration %s has a cell reserved already", text(v.migration))
	case full:
		t.book.withdraw(v.entry)
		return fmt.Errorf("%w: as many cells of tenant %s are on their way to node %s as may be of the %d of all", policystore.ErrLimited, v.entry.key.tenant, t.node(), maxReserved)
	}
	return nil
}

// watch gives a reservation up that nobody takes.
func (t *transfers) watch(v *reservation) {
	look := time.NewTicker(quietFor)
	defer look.Stop()
	for p, waits := (patience{began: time.Now()}), true; waits; {
		select {
		case <-v.taken:
			return
		case <-look.C:
			waits = !p.isOut(t.there(v))
		case <-v.resident.cell.Done():
			waits = false
		case <-t.ending.Done():
			waits = false
		}
	}
	if t.take(v.reserved) != nil {
		t.logger.Info("a cell that was to come has not", slog.String("cell", v.entry.key.String()), slog.String("from", v.from))
		t.drop(v, "what it was reserved for has not come")
	}
}

// there is how many bytes have come of the state that a reservation waits for.
func (t *transfers) there(v *reservation) int64 {
	t.mu.Lock()
	arrival := v.arrival
	t.mu.Unlock()
	if arrival == nil {
		return 0
	}
	return arrival.Offset()
}

// take gives a reservation to one that asks for it: to have it, or to give it up. One that is still being made
// is given up, and ended by its maker.
func (t *transfers) take(which reserved) *reservation {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taking(t.all[which])
}

// taking is take with t.mu held.
func (t *transfers) taking(v *reservation) *reservation {
	if v == nil {
		return nil
	}
	if !v.ready {
		v.unwanted = true
		return nil
	}
	delete(t.all, v.reserved)
	close(v.taken)
	return v
}

// takeFor is take, for a cell of which this node has become the owner, with a checkpoint. What was reserved for
// another state of it is given up; until over is closed, its name is not free.
func (t *transfers) takeFor(a actors.Address, checkpoint string) (v *reservation, over <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.all {
		if one.entry.key.address() != a {
			continue
		}
		taken := t.taking(one)
		if taken != nil && one.state == checkpoint {
			return taken, nil
		}
		if taken != nil {
			t.book.ends.Go(func() { t.drop(one, "it has come here in another way") })
		}
		return nil, one.entry.spawned
	}
	return nil, nil
}

// supersede gives up what was reserved for earlier moves of a cell, and waits until its name is free: its owner, who
// asks, moves it in one way at a time. It may have died, or been cut off, before it could say that the one before
// has come to nothing.
func (t *transfers) supersede(ctx context.Context, by reserved, k cellKey) error {
	for {
		over := t.earlier(by, k)
		if over == nil {
			return nil
		}
		select {
		case <-over:
		case <-ctx.Done():
			return cell.Errorf(cell.Busy, "what was reserved on node %s for an earlier move of cell %s has not ended; try again", t.node(), k)
		}
	}
}

// earlier gives up one that was reserved for a cell before, if there is one. Its name is free when over is closed.
func (t *transfers) earlier(by reserved, k cellKey) (over <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.all {
		if one.entry.key != k || one.reserved == by {
			continue
		}
		if t.taking(one) != nil {
			t.book.ends.Go(func() { t.drop(one, "its cell moves in another way") })
		}
		return one.entry.spawned
	}
	return nil
}

// drop ends what was reserved, and makes its name free. Who has taken it calls it, or who could not make it, and
// once.
func (t *transfers) drop(v *reservation, why string) {
	t.mu.Lock()
	if t.all[v.reserved] == v {
		delete(t.all, v.reserved)
	}
	t.mu.Unlock()
	if v.resident != nil {
		v.resident.cell.Kill(why)
		v.resident.end()
	}
	t.breakOff(v)
	t.letGo(v)
	t.book.withdraw(v.entry)
	v.entry.failed = cell.Errorf(cell.Busy, "cell %s was to come to node %s, and has not: try again", v.entry.key, t.node())
	close(v.entry.spawned)
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

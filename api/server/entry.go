package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// States of a cell that are its actor's, and not its incarnation's.
const (
	starting    = "starting"
	restarting  = "restarting"
	quarantined = "quarantined"
)

// entry is a cell's name in use: what lasts from one incarnation to the next.
type entry struct {
	key        cellKey
	id         string // of the cell, in all of its incarnations; no other cell of any node has it
	terms      terms
	spawnedBy  actors.ID        // hash of the spawn's request_id; zero: none
	restoredBy actors.ID        // and of that which had it go on here; guarded by the book's lock
	asked      *pb.SpawnRequest // how it was spawned, for its checkpoints; set before the first incarnation
	from       string           // the checkpoint that the first incarnation begins with; "": none
	touched    touched
	said       *sayings
	kept       kept
	came       string        // the checkpoint by which it came from another node; "": it has not
	before     []string      // the nodes that it came by, in their order; set before it is found
	arriving   bool          // it is to come from another node; guarded by the book's lock
	leaving    bool          // it has ended, and is to be forgotten for others that have; guarded by the book's lock
	copying    chan struct{} // its checkpoint is being copied to other nodes: one at a time
	saidCopies string        // what was told of that last; of who copies

	spawned   chan struct{} // closed when the first incarnation runs, or could not be started
	failed    error         // set before spawned is closed
	abandoned bool          // so is that; it failed because who asked for it went away

	lastDenial atomic.Pointer[reachedDenial]

	mu       sync.Mutex
	last     string // its newest checkpoint
	started  time.Time
	now      *resident // nil before the first
	epoch    uint64    // of now
	waiting  string    // a state of the actor while now has none of its own, or ""
	why      string    // of waiting
	restarts uint32
	final    bool          // no incarnation follows
	move     *move         // to another node, under way; nil: none
	went     string        // the node that has it by now; "": it has not moved
	over     chan struct{} // closed then
	changed  chan struct{} // closed at the next change
}

// reachedDenial is one and when the node heard of it.
type reachedDenial struct {
	cell.Denial
	reached time.Time
}

func newEntry(k cellKey, t terms, spawnedBy actors.ID) *entry {
	return &entry{key: k, id: newCellID(), terms: t, spawnedBy: spawnedBy, said: newSayings(), waiting: starting, started: time.Now(),
		touched: touched{full: make(chan struct{}, 1)}, copying: make(chan struct{}, 1),
		spawned: make(chan struct{}), over: make(chan struct{}), changed: make(chan struct{})}
}

// newCellID is an id that no cell had.
func newCellID() string {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// incarnation is the last; nil before the first.
func (e *entry) incarnation() *resident {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// begun makes r the incarnation.
func (e *entry) begun(epoch uint64, r *resident) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.now != nil {
		e.restarts++
	}
	e.now, e.epoch, e.waiting, e.started = r, epoch, "", time.Now()
	e.change()
}

// change is called with e.mu held.
func (e *entry) change() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// happened is called by the cell's actor.
func (e *entry) happened(event actors.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch event.Kind {
	case actors.Started:
		if e.now != nil && e.epoch == event.Epoch {
			e.now.owned.Store(event.Epoch)
		}
		return
	case actors.Restarting:
		e.waiting, e.why = restarting, event.Reason
	case actors.Quarantined:
		e.waiting, e.why = quarantined, event.Reason
		e.end()
	case actors.Ended, actors.Left:
		if e.now != nil {
			e.waiting, e.why = "", "" // the incarnation says how it ended
		}
		e.end()
	default:
		return
	}
	e.change()
}

// end is called with e.mu held.
func (e *entry) end() {
	if !e.final {
		e.final = true
		close(e.over)
	}
}

// next waits for an incarnation after the one of that epoch, and says whether there is one.
func (e *entry) next(ctx context.Context, after uint64) bool {
	for {
		e.mu.Lock()
		epoch, final, changed := e.epoch, e.final, e.changed
		e.mu.Unlock()
		if epoch > after || final {
			return epoch > after
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// at is the epoch of the last incarnation.
func (e *entry) at() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.epoch
}

// isFinal says whether no incarnation follows the last.
func (e *entry) isFinal() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.final
}

// renewed has the incarnation go on in another epoch.
func (e *entry) renewed(epoch uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.epoch = epoch
	if e.now != nil {
		e.now.owned.Store(epoch)
	}
}

// leave notes that another node has the cell: whoever receives from it here goes there.
func (e *entry) leave(node string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.went = node
	e.end()
	e.change()
}

// wentTo is the node that has the cell by now; "": it has not moved.
func (e *entry) wentTo() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.went
}

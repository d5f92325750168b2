package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/share"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// maxReserved bounds how many empty cells wait at a time for other nodes; of them each tenant has its share.
const maxReserved = 64

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

// isMade has others get what was reserved, unless it was given up meanwhile.
func (t *transfers) isMade(v *reservation) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	v.ready = !v.unwanted
	return v.ready
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
	full := v.from != "" && own >= share.Of(maxReserved, others) // so that none has all
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

package actors

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// Directory knows where cells are. It is asked for every message, by many goroutines, and must
// not block.
type Directory interface {
	// Lookup finds a cell's actor; ok is false when there is none by that name.
	Lookup(a Address) (e Entry, ok bool)
	// Claim gives a name to an actor, if nobody has it.
	Claim(a Address, e Entry) (claimed bool)
	// Release takes the name from that actor, if it has it.
	Release(a Address, pid *actor.PID)
	// Leave takes the name from that actor, if it has it, whose cell goes on elsewhere: only the place
	// is given up, and not what was agreed about the cell.
	Leave(a Address, pid *actor.PID)
	// List returns the names of a tenant, or with "" everybody's, in no order.
	List(tenant string) []Address
}

// Entry is where a cell is.
type Entry struct {
	// PID of a cell of this node, which the System made; nil for one of another.
	PID *actor.PID
	// Via is the way to a cell of another node; nil for one of this.
	Via Via

	gate *gate
	gone <-chan struct{} // closed when the actor is no more
	idle *atomic.Bool    // it has ended or moved, and only keeps its name
	// moved says where it is, when it is elsewhere.
	moved *atomic.Pointer[Moved]
}

// Via is the way to the cells of another node. Its methods are for many goroutines at once.
type Via interface {
	// Ask is as that of System: what one goroutine asks after the other arrives in that order.
	Ask(ctx context.Context, env Envelope) Reply
}

// Local is a directory of one node.
type Local struct {
	mu sync.RWMutex
	of map[Address]Entry
}

var _ Directory = (*Local)(nil)

// Lookup finds a cell's actor.
func (l *Local) Lookup(a Address) (Entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e, ok := l.of[a]
	return e, ok
}

// Claim gives a name to an actor.
func (l *Local) Claim(a Address, e Entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.of[a]; taken {
		return false
	}
	if l.of == nil {
		l.of = map[Address]Entry{}
	}
	l.of[a] = e
	return true
}

// Release takes the name from an actor.
func (l *Local) Release(a Address, pid *actor.PID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[a].PID == pid {
		delete(l.of, a)
	}
}

// Leave takes the name from an actor.
func (l *Local) Leave(a Address, pid *actor.PID) { l.Release(a, pid) }

// List returns names.
func (l *Local) List(tenant string) []Address {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var list []Address
	for a := range l.of {
		if tenant == "" || a.Tenant == tenant {
			list = append(list, a)
		}
	}
	return list
}

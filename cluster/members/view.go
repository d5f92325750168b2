package members

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// Member is a node as gossip knows it.
type Member struct {
	// Name that it gives.
	Name string
	// Address it gossips at, an IP address and a port.
	Address string
	// Meta is what it says of itself. It is shared: it must not be changed.
	Meta Meta
	// Err tells why Meta is empty: it could not be read.
	Err error
}

// Change is what happened to a member.
type Change string

const (
	// Joined: it is there.
	Joined Change = "joined"
	// Updated: its Meta changed.
	Updated Change = "updated"
	// Left: it said that it goes, as its Meta tells, and is gone.
	Left Change = "left"
	// Failed: it does not answer. One that left is reported so where only its last word came.
	Failed Change = "failed"
)

// Event is a change of a member.
type Event struct {
	Change Change
	Member Member
}

// behind is how many events a watcher may be behind.
const behind = 256

// view is who is there. memberlist tells it, with locks of its own held: nothing here waits.
type view struct {
	log *slog.Logger

	mu       sync.Mutex
	members  map[string]Member
	watchers map[chan Event]func() bool // with what ends the wait for their contexts
	closed   bool
}

var (
	_ memberlist.EventDelegate    = (*view)(nil)
	_ memberlist.AliveDelegate    = (*view)(nil)
	_ memberlist.ConflictDelegate = (*view)(nil)
)

func newView(l *slog.Logger) *view {
	return &view{log: l, members: map[string]Member{}, watchers: map[chan Event]func() bool{}}
}

// NotifyAlive implements memberlist.AliveDelegate: whom not to believe in.
func (v *view) NotifyAlive(n *memberlist.Node) error {
	if !pki.ValidName(n.Name) {
		return fmt.Errorf("%.80q cannot name a node", n.Name)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, known := v.members[n.Name]; !known && len(v.members) >= MaxMembers {
		return fmt.Errorf("there are %d members already", MaxMembers)
	}
	return nil
}

// NotifyConflict implements memberlist.ConflictDelegate.
func (v *view) NotifyConflict(one, other *memberlist.Node) {
	v.log.Warn("two nodes have the same name; the one that was here first stays until it goes",
		"name", one.Name, "first", addressOf(one), "second", addressOf(other))
}

// NotifyJoin implements memberlist.EventDelegate.
func (v *view) NotifyJoin(n *memberlist.Node) { v.change(Joined, n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (v *view) NotifyUpdate(n *memberlist.Node) { v.change(Updated, n) }

// NotifyLeave implements memberlist.EventDelegate, also for who failed: see change.
func (v *view) NotifyLeave(n *memberlist.Node) { v.change(Failed, n) }

func (v *view) change(c Change, n *memberlist.Node) {
	m := Member{Name: n.Name, Address: addressOf(n)}
	m.Meta, m.Err = DecodeMeta(n.Meta)
	if c == Failed && m.Meta.Leaving { // memberlist does not tell one from the other
		c = Left
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c == Left || c == Failed {
		delete(v.members, m.Name)
	} else {
		v.members[m.Name] = m
	}
	for w := range v.watchers {
		v.send(w, Event{c, m})
	}
}

// send tells a watcher, or leaves it when it is too far behind.
func (v *view) send(w chan Event, e Event) {
	select {
	case w <- e:
	default:
		v.leave(w)
	}
}

// leave is called with mu held.
func (v *view) leave(w chan Event) {
	v.watchers[w]()
	delete(v.watchers, w)
	close(w)
}

func (v *view) list() []Member {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sorted()
}

func (v *view) sorted() []Member {
	return slices.SortedFunc(maps.Values(v.members), func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
}

// watch begins with who is there. It ends with ctx, or when the view is closed.
func (v *view) watch(ctx context.Context) <-chan Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	w := make(chan Event, len(v.members)+behind)
	if v.closed {
		close(w)
		return w
	}
	for _, m := range v.sorted() {
		w <- Event{Joined, m}
	}
	v.watchers[w] = context.AfterFunc(ctx, func() { v.forget(w) })
	return w
}

func (v *view) forget(w chan Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.watchers[w]; ok {
		v.leave(w)
	}
}

func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	for w := range v.watchers {
		v.leave(w)
	}
}

func addressOf(n *memberlist.Node) string {
	return net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))
}

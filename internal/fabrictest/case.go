package fabrictest

import (
	"fmt"
	"slices"
)

// stage is what is agreed about a move when a point is reached, and so who may be lost with what.
type stage int

const (
	// staying: the source has the cell, and what it knows nobody else does.
	staying stage = iota
	// agreed: the guest stands still, and both have its state.
	agreed
	// owned: the target has the cell, and it does not run yet.
	owned
	// going: it runs at the target.
	going
)

// Turns that a move takes by itself, for points that it does not reach else.
const (
	straight = ""
	recalled = "aborted"  // it is aborted when the state is taken out
	unfit    = "given up" // the target has lost the cell's host when it is the owner
)

// site is a point that is reached in a move.
type site struct {
	point string
	at    Role
	hit   int // which time that it is reached
	stage stage
	turn  string
}

// steps are sites of the move itself.
var steps = []site{
	{"arrival.made", Target, 1, staying, straight},
	{"move.reserved", Source, 1, staying, straight},
	{"move.begun", Source, 1, staying, straight},
	{"move.taken", Source, 1, staying, straight},
	{"arrival.received", Target, 1, staying, straight},
	{"move.pushed", Source, 1, staying, straight},
	{"move.frozen", Source, 1, agreed, straight},
	{"arrival.owned", Target, 1, owned, straight},
	{"arrival.filled", Target, 1, owned, straight},
	{"arrival.running", Target, 1, going, straight},
	{"move.activated", Source, 1, going, straight},
	{"move.left", Source, 1, going, straight},
	{"move.collected", Source, 1, going, straight},
	{"move.aborted", Source, 1, staying, recalled},
	{"move.stayed", Source, 1, staying, recalled},
	{"arrival.yielded", Target, 1, staying, unfit},
}

// below are sites of what the move stands on: files, the log, and what is agreed by it. The log has three
// entries of a move, that it begins, that the state is frozen, and that the target is the owner.
var below = []site{
	{"durable.synced", Source, 1, staying, straight},
	{"durable.renamed", Source, 1, staying, straight},
	{"durable.kept", Source, 1, staying, straight},
	{"durable.synced", Target, 1, staying, straight},
	{"durable.renamed", Target, 1, staying, straight},
	{"durable.kept", Target, 1, staying, straight},
	{"raftlog.stored", Leader, 1, staying, straight},
	{"raftlog.stored", Leader, 2, staying, straight},
	{"raftlog.stored", Leader, 3, agreed, straight},
	{"raftlog.stored", Source, 1, staying, straight},
	{"raftlog.stored", Target, 1, staying, straight},
	{"group.proposed", Leader, 1, staying, straight},
	{"group.proposed", Leader, 2, agreed, straight},
	{"group.proposed", Leader, 3, owned, straight},
	{"group.applied", Leader, 1, staying, straight},
	{"group.applied", Leader, 2, agreed, straight},
	{"group.applied", Leader, 3, owned, straight},
	{"group.applied", Source, 1, staying, straight},
	{"group.applied", Target, 3, going, straight}, // the leader may have told it before
	{"group.answered", Source, 1, staying, straight},
	{"group.answered", Source, 2, agreed, straight},
	{"group.answered", Target, 1, owned, straight},
}

// Case is that something happens to a node exactly when somebody has reached a point in a move.
type Case struct {
	site
	// Kind is Kill, Pause or Isolate, of which the last two last for longer than leases.
	Kind Kind
	// Role of the node that it happens to.
	Role Role
}

func (c Case) String() string {
	name := fmt.Sprintf("%s/%s-%d/%s-%s", c.point, c.at, c.hit, c.Kind, c.Role)
	if c.turn != straight {
		name += "-" + c.turn
	}
	return name
}

// Point that the case is about.
func (c Case) Point() string { return c.point }

// Cases are all that there are: of each step with each role and kind, and below it of whom it happens at.
func Cases(links bool) (all []Case) {
	kinds := []Kind{Kill, Pause}
	if links {
		kinds = append(kinds, Isolate)
	}
	for _, k := range kinds {
		for _, s := range steps {
			for _, r := range []Role{Source, Target, Leader} {
				all = append(all, Case{s, k, r})
			}
		}
		for _, s := range below {
			all = append(all, Case{s, k, s.at})
		}
	}
	return all
}

// Sample draws cases in an order by chance; n = 0: all.
func Sample(seed uint64, n int, from []Case) (drawn []Case) {
	for _, i := range chanceOf(seed, 4).Perm(len(from)) {
		drawn = append(drawn, from[i])
	}
	if n > 0 {
		drawn = drawn[:min(n, len(drawn))]
	}
	return slices.Clip(drawn)
}

// excuses are what is lost with a node by what was agreed: the source while nobody else has the state, and the
// target with what it has done since it had the cell, which it may have for who is cut off with it. Without the
// leader leases may lapse.
func (c Case) excuses() Leniency {
	may := Leniency{Broken: true}
	switch c.Role {
	case Leader:
		may.Lost = true
	case Source:
		may.Lost = c.stage == staying
	case Target:
		may.Lost = c.stage == going || c.stage == owned && c.Kind == Isolate
	}
	return may
}

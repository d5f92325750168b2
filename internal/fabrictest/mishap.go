package fabrictest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// Kinds of what happens to a move alone.
const (
	Smooth Kind = "smooth" // nothing
	Abort  Kind = "abort"  // somebody ends the move
	Cancel Kind = "cancel" // whoever has it moved goes
)

// phases of a move, in their order.
var phases = []string{"prepare", "freeze", "copy", "activate", "collect", "done"}

// reached tells whether a phase is another one or comes after it.
func reached(phase, other string) bool {
	return slices.Index(phases, phase) >= slices.Index(phases, other)
}

// Role of a node in a move.
type Role string

// Roles. Bystander is the one that the move is asked for at, Leader that of the directory.
const (
	Source    Role = "source"
	Target    Role = "target"
	Bystander Role = "bystander"
	Leader    Role = "leader"
)

// Mishap is what goes wrong while a cell is moved.
type Mishap struct {
	Kind Kind
	// Role of the node that it happens to, if to any.
	Role Role
	// Phase that the move has reached then, and a little later.
	Phase string
	Later time.Duration
	// Hold is how long it lasts: some are over before leases are, some are not.
	Hold time.Duration
}

func (m Mishap) String() string {
	if m.Kind == Smooth {
		return string(m.Kind)
	}
	who := ""
	if m.Role != "" {
		who = " of the " + string(m.Role)
	}
	return fmt.Sprintf("%s%s %s into %s, for %s", m.Kind, who, m.Later, m.Phase, m.Hold)
}

// Mishaps draws what goes wrong with so many moves. The same seed and links draw the same.
func Mishaps(seed uint64, links bool, rounds int) (all []Mishap) {
	r := chanceOf(seed, 3)
	kinds := []Kind{Smooth, Smooth, Abort, Cancel, Kill, Kill, Pause, Freeze}
	if links {
		kinds = append(kinds, Isolate, Mute, Deafen)
	}
	roles := []Role{Source, Target, Bystander, Leader}
	for len(all) < rounds {
		for _, i := range r.Perm(len(kinds)) {
			m := Mishap{Kind: kinds[i], Phase: phases[r.IntN(len(phases)-1)], Later: time.Duration(r.IntN(8000)) * time.Microsecond,
				Hold: between(r, 300*time.Millisecond, 6*time.Second)}
			if !slices.Contains([]Kind{Smooth, Abort, Cancel}, m.Kind) {
				m.Role = roles[r.IntN(len(roles))]
			}
			all = append(all, m)
		}
	}
	return all[:rounds]
}

// Move has the cell moved, by way of a node, and is told of every phase. What it returns is the last
// that the node said; nil: it said nothing.
func (j *Journey) Move(ctx context.Context, by *Node, to string, on func(phase string)) (*pb.MigrateResponse, error) {
	phase := ""
	return by.Bearer.Migrate(ctx, &pb.MigrateRequest{Name: j.Cell, Node: to}, func(m *pb.MigrateResponse) {
		if m.GetPhase() != phase {
			phase = m.GetPhase()
			on(phase)
		}
	})
}

// travel is one move with what goes wrong in it.
type travel struct {
	*Journey
	Mishap
	source, target, by *Node
	victim             *Node // nil: no node is hurt
	leader             *Node

	mu       sync.Mutex
	furthest string
}

// Travel moves the cell to another node and has a mishap happen. It returns when all is well again, and
// what is excused: by the mishap, or by leases that lapsed beside it.
func (j *Journey) Travel(ctx context.Context, m Mishap) (Leniency, error) {
	t, err := j.plan(ctx, m)
	if err != nil {
		return j.lapsed(ctx, nil, Leniency{}, err)
	}
	if err = t.comeAbout(ctx); err == nil {
		err = j.Fabric.Converge(ctx)
	}
	return j.lapsed(ctx, t.victim, t.excuses(), err)
}

// comeAbout has the move happen, and the mishap with it.
func (t *travel) comeAbout(ctx context.Context) error {
	moving, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	var struck sync.WaitGroup
	failed := make(chan error, 1)
	once := sync.OnceFunc(func() {
		struck.Go(func() {
			wait(ctx, t.Later)
			failed <- t.strike(ctx, stop)
		})
	})
	last, err := t.Move(moving, t.by, t.target.Name, func(phase string) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if slices.Contains(phases, phase) {
			t.furthest = phase
		}
		if reached(t.furthest, t.Phase) {
			once()
		}
	})
	struck.Wait()
	t.Fabric.options.Logf("%s: %s to %s came to %q, paused %s: %v", t.Mishap, t.source.Name, t.target.Name, t.furthest, last.GetPaused().AsDuration(), err)
	select {
	case e := <-failed:
		if e != nil {
			return e
		}
	default: // the move ended before it could happen
	}
	if t.Kind == Smooth && err != nil {
		return fmt.Errorf("nothing was wrong, and the move fails: %w", err)
	}
	return nil
}

// plan chooses who has which part.
func (j *Journey) plan(ctx context.Context, m Mishap) (*travel, error) {
	report, err := j.Where(ctx)
	if err != nil {
		return nil, err
	}
	t := &travel{Journey: j, Mishap: m, source: j.Fabric.Node(report.GetNode())}
	if t.source == nil {
		return nil, fmt.Errorf("the cell is at %q, in state %s", report.GetNode(), report.GetState())
	}
	for _, i := range chanceOf(j.Seed, uint64(j.requests.Add(1))).Perm(len(j.Fabric.Nodes)) {
		switch n := j.Fabric.Nodes[i]; {
		case n == t.source:
		case t.target == nil:
			t.target = n
		default:
			t.by = n
		}
	}
	if t.by == nil {
		return nil, errors.New("there are too few nodes: three are needed")
	}
	status, err := t.by.Client.Cluster.Status(ctx, connect.NewRequest(&pb.StatusRequest{}))
	if err != nil {
		return nil, err
	}
	t.leader = j.Fabric.Node(status.Msg.GetLeader())
	switch m.Role {
	case Source:
		t.victim = t.source
	case Target:
		t.victim = t.target
	case Bystander:
		t.victim = t.by
	case Leader:
		t.victim = t.leader
	}
	return t, nil
}

// strike has the mishap happen, and all be well again.
func (t *travel) strike(ctx context.Context, stop func()) error {
	switch t.Kind {
	case Smooth:
		return nil
	case Cancel:
		stop()
		return nil
	case Abort:
		_, err := t.by.Bearer.Cells.AbortMigration(ctx, connect.NewRequest(&pb.AbortMigrationRequest{Name: t.Cell}))
		if kind := kindOf(err); kind == "NotFound" || kind == "Conflict" { // it was too late
			err = nil
		}
		return err
	}
	return t.Fabric.Do(ctx, Fault{Kind: t.Kind, Node: t.victim.Name, Hold: t.Hold})
}

// excuses are of a victim that had the cell: the source until the cluster agreed that the target has its
// state, too, and the target once it could be the owner. Without the leader leases may lapse before there is
// another: then cells end with them, and come back from the checkpoints that are left.
func (t *travel) excuses() Leniency {
	if t.victim == nil {
		return Leniency{}
	}
	may := Leniency{Broken: true}
	switch t.victim {
	case t.leader:
		may.Lost = true
	case t.source:
		may.Lost = !reached(t.furthest, "activate")
	case t.target:
		may.Lost = reached(t.furthest, "activate")
	}
	return may
}

package enforce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/notify"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// Options say what an Enforcer works with.
type Options struct {
	// Guard has the programs; nil: there are none. Groups is the tree of control groups, which
	// should be this node's alone; nil: there is none.
	Guard  *guard.Guard
	Groups *cgroup.Tree
}

// Enforcer puts the node's half of the layers around cells.
type Enforcer struct {
	guard     *guard.Guard
	contracts contracts
	groups    *cgroup.Tree
	watch     *notify.Supervisor    // nil: nobody watches paths
	refused   error                 // why no programs are loaded
	broken    atomic.Pointer[error] // why events are not read any more

	stop    context.CancelFunc
	running sync.WaitGroup
	wake    chan struct{} // of the collector

	mu    sync.Mutex
	next  uint64           // of groups' names
	bound map[uint32]*Seat // by the number of the guard's cell
	// watched are the seats whose paths are watched, by the number of the watch.
	watched map[uint64]*Seat
	watches uint64
	// tasks are those that have a seat, closed or not.
	tasks map[int]*Seat
	// left are seats that were closed and not given back yet.
	left []*Seat
}

// New makes an Enforcer of what there is, and takes both over.
func New(o Options) *Enforcer {
	e := &Enforcer{guard: o.Guard, contracts: contracts{guard: o.Guard, loaded: map[string]guard.Contracts{}}, groups: o.Groups, bound: map[uint32]*Seat{}, watched: map[uint64]*Seat{}, tasks: map[int]*Seat{}, wake: make(chan struct{}, 1)}
	var ctx context.Context
	ctx, e.stop = context.WithCancel(context.Background())
	e.running.Go(func() { e.collect(ctx) })
	if e.guard != nil {
		e.running.Go(func() {
			if err := e.guard.ReadEvents(ctx, e.hear); err != nil {
				e.broken.Store(&err)
			}
		})
	}
	return e
}

// hear passes an event on to the seat it is about.
func (e *Enforcer) hear(event guard.Event) {
	e.mu.Lock()
	s := e.bound[event.Cell]
	e.mu.Unlock()
	if s == nil || s.cell.Life() != event.Life { // it is of an earlier cell of that number
		return
	}
	if tell := s.tell.Load(); tell != nil {
		(*tell)(event)
	}
}

// Name begins the names of what nodes have in the kernel.
const Name = "pyisolate"

// Open makes an Enforcer of what this kernel gives this user, and removes what nodes that
// were killed have left. Where nothing is to be had it has nothing: see Seats. Programs are
// loaded only if they are wanted, which takes some tens of milliseconds; why they could not be
// is in Refused.
func Open(ctx context.Context, programs bool) (*Enforcer, error) {
	sweep(ctx)
	groups, err := cgroup.Open(cgroup.Options{Name: cgroup.OwnName(Name)})
	if err != nil {
		return nil, err
	}
	var o Options
	var refused error
	if programs {
		o.Guard, refused = guard.Load(guard.Options{Cgroup: groups.Unified(), Pin: pinDir()})
	}
	if groups.Bounds() || (o.Guard != nil && groups.Unified() != "") {
		o.Groups = groups
	} else if err := groups.Close(); err != nil {
		return nil, err
	}
	e := New(o)
	e.refused = refused
	if err := e.watchPaths(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// sweep removes what nodes that were killed have left. What it cannot remove is in nobody's way,
// and the next node tries again.
func sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, groupGrace)
	defer cancel()
	_ = cgroup.SweepStale(ctx, Name)
	_ = sweepPins()
}

// Facts are what the programs hold, for package stack.
func (e *Enforcer) Facts() stack.Guard {
	if e == nil || e.guard == nil {
		return stack.Guard{}
	}
	g := e.guard
	facts := stack.Guard{Layer: stack.Programs, Evidence: g.Evidence(), Files: g.Judges(guard.Files), Changes: g.Judges(guard.Changes),
		Network: g.Judges(guard.Network), Opens: g.Judges(guard.Opens), Connects: g.Judges(guard.Connects), Bytes: g.Judges(guard.Bytes),
		CPU: g.Judges(guard.CPU), Contracts: hooksOf(g)}
	if broken := e.broken.Load(); broken != nil {
		facts.Evidence += fmt.Sprintf("; nobody hears what they refuse any more: %v", *broken)
	}
	if g.Kind() == guard.LSM {
		facts.Layer = stack.LSM
	}
	return facts
}

// Refused is why no programs are loaded, nil where they are or none were wanted.
func (e *Enforcer) Refused() error {
	if e == nil {
		return nil
	}
	return e.refused
}

// Seats reports whether there is anything to seat a cell in.
func (e *Enforcer) Seats() bool {
	return e != nil && (e.guard != nil || e.groups != nil || e.watch != nil)
}

// Controllers are those that groups of this node have.
func (e *Enforcer) Controllers() (list []cgroup.Controller) {
	if e == nil || e.groups == nil {
		return nil
	}
	places := e.groups.Places()
	for _, c := range cgroup.Controllers {
		if places[c].Version > 0 {
			list = append(list, c)
		}
	}
	return list
}

// possible leaves out of the limits what there is no controller for. That is in the cell's report.
func (e *Enforcer) possible(l cgroup.Limits) cgroup.Limits {
	has := e.Controllers()
	if !slices.Contains(has, cgroup.CPU) {
		l.CPU, l.Period = 0, 0
	}
	if !slices.Contains(has, cgroup.Memory) {
		l.Memory = 0
	}
	if !slices.Contains(has, cgroup.Tasks) {
		l.Tasks = 0
	}
	return l
}

// hosts is the group that hosts are in, where there is version 2: programs of that hierarchy
// see what their sockets do.
const hosts = "hosts"

// Enroll takes in the process of a host, and all that it starts from now on, until leave is
// called, when the host is dead. What it does outside of its cells reaches no network, where
// programs of kind cgroup judge it.
func (e *Enforcer) Enroll(pid int) (leave func(), err error) {
	leave = func() {}
	if e == nil {
		return leave, nil
	}
	if e.groups != nil && e.groups.Unified() != "" {
		if err := e.enter(pid); err != nil {
			return leave, err
		}
	}
	// LSM programs would judge all that a host and its zygote do, mounts and signals to cells
	// among it.
	if e.guard == nil || e.guard.Kind() != guard.Cgroup {
		return leave, nil
	}
	nothing, err := e.guard.NewCell(policy.Policy{})
	if err != nil {
		return leave, err
	}
	return nothing.Close, bindAll(func() ([]int, error) { return threads(pid) }, nothing)
}

// enter puts a host into the group of hosts.
func (e *Enforcer) enter(pid int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	g, err := e.groups.Adopt(hosts)
	if err != nil {
		if g, err = e.groups.Create(hosts, cgroup.Limits{}); err != nil {
			return fmt.Errorf("enforce: a group for hosts: %w", err)
		}
	}
	return g.AddProcess(pid)
}

// Close gives back everything. All hosts must have ended.
func (e *Enforcer) Close() error {
	if e == nil {
		return nil
	}
	e.stop()
	e.running.Wait() // also for seats that are being released
	var failed error
	if broken := e.broken.Load(); broken != nil {
		failed = *broken
	}
	for _, s := range e.left {
		failed = errors.Join(failed, s.release())
	}
	if e.watch != nil {
		failed = errors.Join(failed, e.watch.Close())
	}
	if e.guard != nil {
		failed = errors.Join(failed, e.contracts.close(), e.guard.Close())
	}
	if e.groups == nil {
		return failed
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupGrace)
	defer cancel()
	_, err := e.groups.Sweep(ctx, nil)
	return errors.Join(failed, err, e.groups.Close())
}

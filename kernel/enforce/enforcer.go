package enforce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/policy"
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
	guard  *guard.Guard
	groups *cgroup.Tree

	mu   sync.Mutex
	next uint64 // of groups' names
	// left are seats that were closed while their task was still there.
	left []*Seat
}

// New makes an Enforcer of what there is, and takes both over.
func New(o Options) *Enforcer { return &Enforcer{guard: o.Guard, groups: o.Groups} }

// Name begins the names of what nodes have in the kernel.
const Name = "pyisolate"

// Open makes an Enforcer of what this kernel gives this user, and removes what nodes that
// were killed have left. Where nothing is to be had it has nothing: see Seats.
func Open(ctx context.Context) (*Enforcer, error) {
	if err := cgroup.SweepStale(ctx, Name); err != nil {
		return nil, fmt.Errorf("enforce: remove what a node left: %w", err)
	}
	groups, err := cgroup.Open(cgroup.Options{Name: cgroup.OwnName(Name)})
	if err != nil {
		return nil, err
	}
	if !groups.Bounds() {
		err := groups.Close()
		return New(Options{}), err
	}
	return New(Options{Groups: groups}), nil
}

// Seats reports whether there is anything to seat a cell in.
func (e *Enforcer) Seats() bool { return e != nil && (e.guard != nil || e.groups != nil) }

// hosts is the group that hosts are in, where there is version 2: programs of that hierarchy
// see what their sockets do.
const hosts = "hosts"

// Enroll takes in the process of a host, and all that it starts from now on.
func (e *Enforcer) Enroll(pid int) error {
	if e == nil || e.groups == nil || e.groups.Unified() == "" {
		return nil
	}
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

// A Seat is where one cell is to be, or is.
type Seat struct {
	enforcer *Enforcer
	host     int
	task     Task
	cell     *guard.Cell   // nil: nothing judges
	group    *cgroup.Group // nil: nothing bounds
	closing  sync.Once
}

// Seat takes in a task of a host under a policy that gives what it needs before a guest is
// in it. The host must not let a guest run there before Seat has returned.
func (e *Enforcer) Seat(host int, task Task, base policy.Policy) (*Seat, error) {
	e.collect()
	s := &Seat{enforcer: e, host: host, task: task}
	if err := s.bind(base); err != nil {
		return nil, errors.Join(err, s.release())
	}
	if err := s.enter(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

func (s *Seat) bind(base policy.Policy) error {
	g := s.enforcer.guard
	if g == nil {
		return nil
	}
	var err error
	if s.cell, err = g.NewCell(base); err != nil {
		return err
	}
	tids := []int{s.task.TID}
	if s.task.Process {
		if tids, err = threads(s.task.TID); err != nil {
			return err
		}
	}
	for _, tid := range tids {
		err := s.cell.Bind(tid)
		if errors.Is(err, guard.ErrClaim) {
			err = s.cell.Claim(tid) // it takes it at the cell's claim
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enter puts a process into a group of its own.
func (s *Seat) enter() error {
	e := s.enforcer
	if e.groups == nil || !s.task.Process {
		return nil
	}
	e.mu.Lock()
	e.next++
	name := fmt.Sprintf("cell-%d", e.next)
	e.mu.Unlock()
	g, err := e.groups.Create(name, cgroup.Limits{})
	if err != nil {
		return err
	}
	s.group = g
	return g.AddProcess(s.task.TID)
}

// Put replaces the policy, and the limits of the process. They hold when it returns.
func (s *Seat) Put(p policy.Policy, l cgroup.Limits) error {
	if s == nil {
		return nil
	}
	if s.group != nil {
		if err := s.group.Set(l); err != nil {
			return err
		}
	}
	if s.cell != nil {
		return s.cell.Swap(p)
	}
	return nil
}

// Judged reports whether the guard judges the seat.
func (s *Seat) Judged() bool { return s != nil && s.cell != nil }

// Usage is what the guard has counted.
func (s *Seat) Usage() guard.Usage {
	if !s.Judged() {
		return guard.Usage{}
	}
	return s.cell.Usage()
}

// Close denies everything at once, and gives the seat back when its task has gone.
func (s *Seat) Close() {
	if s == nil {
		return
	}
	s.closing.Do(func() {
		if s.cell != nil {
			s.cell.DenyAll()
		}
		s.enforcer.mu.Lock()
		s.enforcer.left = append(s.enforcer.left, s)
		s.enforcer.mu.Unlock()
		s.enforcer.collect()
	})
}

// collect gives back the seats whose tasks are gone.
func (e *Enforcer) collect() {
	e.mu.Lock()
	var gone, left []*Seat
	for _, s := range e.left {
		if s.task.alive(s.host) {
			left = append(left, s)
		} else {
			gone = append(gone, s)
		}
	}
	e.left = left
	e.mu.Unlock()
	for _, s := range gone {
		_ = s.release() // a group that is not empty is swept with the tree
	}
}

// groupGrace is how long the kernel may take to empty a group of what was killed in it.
const groupGrace = time.Second

func (s *Seat) release() error {
	if s.cell != nil {
		s.cell.Close()
	}
	if s.group == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupGrace)
	defer cancel()
	return s.group.Remove(ctx)
}

// Close gives back everything. All hosts must have ended.
func (e *Enforcer) Close() error {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	left := e.left
	e.left = nil
	e.mu.Unlock()
	var failed error
	for _, s := range left {
		failed = errors.Join(failed, s.release())
	}
	if e.groups == nil {
		return failed
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupGrace)
	defer cancel()
	_, err := e.groups.Sweep(ctx, nil)
	return errors.Join(failed, err, e.groups.Close())
}

package enforce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/notify"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// A Seat is where one cell is to be, or is.
type Seat struct {
	enforcer *Enforcer
	host     int
	task     Task
	cell     *guard.Cell   // nil: nothing judges
	claimed  []int         // threads that take their binding themselves
	group    *cgroup.Group // nil: nothing bounds
	watch    *Watch        // nil: nobody watches its paths
	tell     atomic.Pointer[func(guard.Event)]

	mu     sync.Mutex // held while the policy is replaced
	closed bool
	limits cgroup.Limits // of the group
}

// Errors of seats.
var (
	// ErrSeated: the task has a seat, or had one that is not given back yet.
	ErrSeated = errors.New("enforce: the task has a seat already")
	// ErrClosed: the seat was closed.
	ErrClosed = errors.New("enforce: the seat is closed")
)

// Seat takes in a task of a host, as that numbers it, under a policy that gives what it needs
// before a guest is in it. The host must not let a guest run there before Seat has returned.
func (e *Enforcer) Seat(host, n int, process bool, base policy.Policy) (*Seat, error) {
	task, err := Find(host, n, process)
	if err != nil {
		return nil, err
	}
	s := &Seat{enforcer: e, host: host, task: task}
	if err := e.occupy(s); err != nil {
		return nil, err
	}
	err = s.bind(base)
	if err == nil {
		err = s.enter()
	}
	if err == nil && !task.is(host) { // the number has become another's meanwhile
		err = ErrNoTask
	}
	if err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// occupy makes the task the seat's.
func (e *Enforcer) occupy(s *Seat) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tasks[s.task.TID] != nil {
		return ErrSeated
	}
	e.tasks[s.task.TID] = s
	return nil
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
	s.enforcer.mu.Lock()
	s.enforcer.bound[s.cell.Index()] = s
	s.enforcer.mu.Unlock()
	if !s.task.Process {
		return claiming{s}.Bind(s.task.TID)
	}
	return bindAll(func() ([]int, error) { return threads(s.task.TID) }, claiming{s})
}

// claiming binds threads to a seat's cell, however the kernel allows.
type claiming struct{ *Seat }

func (c claiming) Bound(tid int) bool { return c.cell.Bound(tid) }

func (c claiming) Bind(tid int) error {
	err := c.cell.Bind(tid)
	if errors.Is(err, guard.ErrClaim) {
		c.claimed = append(c.claimed, tid)
		err = c.cell.Claim(tid) // it takes it at the cell's claim
	}
	return err
}

// Taken reports whether all its threads have their binding: before Linux 6.9 they take it
// themselves, when the cell is claimed.
func (s *Seat) Taken() bool {
	if s == nil || s.cell == nil {
		return true
	}
	for _, tid := range s.claimed {
		if !s.cell.Claimed(tid) {
			return false
		}
	}
	return true
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

// Put replaces the policy, and the limits of the process as far as there are controllers for
// them. They hold when it returns, but for those that it says in words; when it fails those
// before hold.
func (s *Seat) Put(p policy.Policy, l cgroup.Limits) (kept []string, err error) {
	if s == nil {
		return nil, nil
	}
	ready, err := s.enforcer.Prepare(p)
	if err != nil {
		return nil, err
	}
	defer ready.Release() // in the end the cell has it
	return s.Use(ready, l)
}

// Use is Put of a policy that is prepared.
func (s *Seat) Use(p *Prepared, l cgroup.Limits) (kept []string, err error) {
	if s == nil {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	var paths *notify.Rules
	if s.watch != nil {
		if paths, err = p.paths(); err != nil {
			return nil, err
		}
	}
	before := s.limits
	if kept, err = s.bound(l); err != nil {
		return nil, errors.Join(err, s.unbound(before))
	}
	if s.cell != nil {
		if err := s.cell.Publish(p.rules); err != nil {
			return nil, errors.Join(err, s.unbound(before))
		}
	}
	if s.watch != nil {
		s.watch.watched.Swap(paths)
	}
	return kept, nil
}

// Limit replaces the limits alone; the policy is that of Seat, or of the last Put.
func (s *Seat) Limit(l cgroup.Limits) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	_, err := s.bound(l)
	return err
}

// memoryRoom is what a group is left beyond what it uses. One that uses more than it may have is
// not refused more: the kernel ends processes in it.
const memoryRoom = 16 << 20

// bound gives the process's group its limits, under mu, and says what it does not have.
func (s *Seat) bound(l cgroup.Limits) (kept []string, err error) {
	l = s.enforcer.possible(l)
	if s.group == nil || l == s.limits {
		return nil, nil
	}
	if l.Memory > 0 && l.Memory < s.limits.Memory {
		u, err := s.group.Usage()
		if err != nil {
			return nil, err
		}
		if least := u.Memory + memoryRoom; l.Memory < least {
			l.Memory = least
			kept = append(kept, fmt.Sprintf("memory: its process uses %d bytes, so its group keeps %d until there is another policy", u.Memory, least))
		}
	}
	if err := s.group.Set(l); err != nil {
		return nil, err
	}
	s.limits = l
	return kept, nil
}

// unbound gives the group back the limits it had, under mu. It may also have got a part of others.
func (s *Seat) unbound(before cgroup.Limits) error {
	if s.group == nil {
		return nil
	}
	s.limits = before
	return s.group.Set(before)
}

// Tell has f called, from one goroutine for all seats, with each event of the cell; it must not
// block.
func (s *Seat) Tell(f func(guard.Event)) {
	if s != nil {
		s.tell.Store(&f)
	}
}

// Bounded is what bounds the seat's process, in words; "" where nothing does.
func (s *Seat) Bounded() string {
	if s == nil || s.group == nil {
		return ""
	}
	return "its process is in group " + s.group.Name()
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

// Close denies everything at once, and gives the seat back when its task has gone. It does not
// wait for that.
func (s *Seat) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.cell != nil {
		s.cell.DenyAll()
	}
	if s.watch != nil {
		s.watch.watched.Swap(nil)
	}
	s.enforcer.leave(s)
}

// groupGrace is how long the kernel may take to empty a group of what was killed in it.
const groupGrace = time.Second

// release gives back what the seat has. Its task is gone, or was never bound.
func (s *Seat) release() error {
	e := s.enforcer
	if s.cell != nil {
		for _, tid := range s.claimed {
			s.cell.Withdraw(tid)
		}
		e.mu.Lock()
		delete(e.bound, s.cell.Index())
		e.mu.Unlock()
		s.cell.Close()
	}
	var failed error
	if s.watch != nil {
		e.mu.Lock()
		delete(e.watched, s.watch.id)
		e.mu.Unlock()
		failed = s.watch.Close()
	}
	if s.group != nil {
		ctx, cancel := context.WithTimeout(context.Background(), groupGrace)
		defer cancel()
		failed = errors.Join(failed, s.group.Remove(ctx))
	}
	e.mu.Lock()
	if e.tasks[s.task.TID] == s {
		delete(e.tasks, s.task.TID)
	}
	e.mu.Unlock()
	return failed
}

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
	group    *cgroup.Group // nil: nothing bounds
	watch    *Watch        // nil: nobody watches its paths
	closing  sync.Once
	tell     atomic.Pointer[func(guard.Event)]
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
	s.enforcer.mu.Lock()
	s.enforcer.bound[s.cell.Index()] = s
	s.enforcer.mu.Unlock()
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

// Put replaces the policy, and the limits of the process. They hold when it returns; when it
// fails those before hold.
func (s *Seat) Put(p policy.Policy, l cgroup.Limits) error {
	if s == nil {
		return nil
	}
	rules, err := s.build(p)
	if err != nil {
		return err
	}
	paths, err := notify.Compile(p.Files)
	if err != nil {
		return err
	}
	if rules != nil {
		defer rules.Release() // in the end the cell has them
	}
	if s.group != nil {
		if err := s.group.Set(l); err != nil {
			return err
		}
	}
	if s.watch != nil {
		s.watch.watched.Swap(paths)
	}
	if rules == nil {
		return nil
	}
	return s.cell.Publish(rules)
}

// build puts a policy into the kernel, aside; nil where nobody judges.
func (s *Seat) build(p policy.Policy) (*guard.Rules, error) {
	if s.cell == nil {
		return nil, nil
	}
	programs, err := s.enforcer.contracts.load(p.Contract)
	if err != nil {
		return nil, err
	}
	return s.enforcer.guard.Build(p, programs)
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

// Close denies everything at once, and gives the seat back when its task has gone.
func (s *Seat) Close() {
	if s == nil {
		return
	}
	s.closing.Do(func() {
		if s.cell != nil {
			s.cell.DenyAll()
		}
		if s.watch != nil {
			s.watch.watched.Swap(nil)
		}
		s.enforcer.mu.Lock()
		s.enforcer.left = append(s.enforcer.left, s)
		s.enforcer.mu.Unlock()
		s.enforcer.collect()
	})
}

// groupGrace is how long the kernel may take to empty a group of what was killed in it.
const groupGrace = time.Second

func (s *Seat) release() error {
	if s.cell != nil {
		s.enforcer.mu.Lock()
		delete(s.enforcer.bound, s.cell.Index())
		s.enforcer.mu.Unlock()
		s.cell.Close()
	}
	var failed error
	if s.watch != nil {
		s.enforcer.mu.Lock()
		delete(s.enforcer.watched, s.watch.id)
		s.enforcer.mu.Unlock()
		failed = s.watch.Close()
	}
	if s.group == nil {
		return failed
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupGrace)
	defer cancel()
	return errors.Join(failed, s.group.Remove(ctx))
}

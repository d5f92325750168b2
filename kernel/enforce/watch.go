package enforce

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/notify"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// watchPaths makes ready to watch what cells do with paths, where the guard does not judge it
// and this process may look into theirs.
func (e *Enforcer) watchPaths() error {
	if e.Facts().Files || !mayTrace() {
		return nil
	}
	var err error
	e.watch, err = notify.New(notify.Options{Denied: e.hearPath})
	if errors.Is(err, notify.ErrUnsupported) {
		return nil
	}
	return err
}

// mayTrace reports whether this process may read the memory of others, whoever they run as.
func mayTrace() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&head, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_PTRACE) != 0
}

// Watches says, as evidence, that this node can watch what cells do with paths; "" where it
// cannot.
func (e *Enforcer) Watches() string {
	if e == nil || e.watch == nil {
		return ""
	}
	return "the node opens files for the cell, and judges each path"
}

// WatchCounts sums how calls that the node watches came out; zero where it watches none.
func (e *Enforcer) WatchCounts() notify.Counts {
	if e == nil || e.watch == nil {
		return notify.Counts{}
	}
	return e.watch.Counts()
}

// Watch serves the listener of a worker that has no seat yet, by the rules that Python itself
// needs, and takes the listener over. One host does not have all that can be served. Files below the directories of library are opened by the
// worker itself, by its Landlock rules.
func (e *Enforcer) Watch(host int, listener *os.File, base []policy.FileRule, library []string) (*Watch, error) {
	if e.watch == nil {
		return nil, errors.Join(errors.New("enforce: nobody watches paths"), listener.Close())
	}
	rules, err := notify.Compile(base)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	e.mu.Lock()
	e.watches++
	id := e.watches
	e.mu.Unlock()
	w, err := e.watch.Add(listener, notify.Target{ID: id, Owner: uint64(host), Rules: rules, Continue: library})
	if err != nil {
		return nil, fmt.Errorf("enforce: watch a worker: %w", err)
	}
	return &Watch{id: id, watched: w}, nil
}

// A Watch is a worker whose paths are watched.
type Watch struct {
	id      uint64
	watched *notify.Watched
}

// Close denies everything, and ends the watch.
func (w *Watch) Close() error {
	if w == nil {
		return nil
	}
	return w.watched.Close()
}

// Watched makes a watch the seat's: from now on Put replaces its rules.
func (s *Seat) Watched(w *Watch) {
	s.watch = w
	e := s.enforcer
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watched[w.id] = s
}

// hearPath passes on what the watch has refused.
func (e *Enforcer) hearPath(d notify.Denial) {
	e.mu.Lock()
	s := e.watched[d.ID]
	e.mu.Unlock()
	if s == nil {
		return
	}
	if tell := s.tell.Load(); tell != nil {
		event := guard.Event{Kind: guard.Denied, Hook: "change", Access: d.Want, Path: d.Path}
		if d.Call == "open" || d.Call == "openat" || d.Call == "openat2" {
			event.Hook = "open"
		}
		if d.Spent {
			event.Reason = "trying the policy's patterns took too long"
		}
		(*tell)(event)
	}
}

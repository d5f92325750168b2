package directory

import (
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// FSM is a State on a Raft log. Raft calls Apply, Snapshot and Restore; everybody may call the
// other methods, from any goroutine, and sees what this node has applied.
type FSM struct {
	mu      sync.RWMutex
	state   State
	failure error
	watcher func([]Record)
}

var _ raft.FSM = (*FSM)(nil)

// Result is what raft.ApplyFuture.Response returns.
type Result struct {
	Outcome
	Err error
}

// NewFSM makes an empty directory. The watcher is called after each command, in their order,
// with the records that it has changed; those that were released have the epoch 0; after a
// snapshot was installed, with all. It must not block.
func NewFSM(watcher func([]Record)) *FSM { return &FSM{watcher: watcher} }

// Apply implements raft.FSM. After an entry that this version cannot read nothing is applied
// any more, and Failure says why: the state would differ from the others'.
func (f *FSM) Apply(entry *raft.Log) any {
	f.mu.Lock()
	if f.failure != nil {
		defer f.mu.Unlock()
		return Result{Err: f.failure}
	}
	c, err := Decode(entry.Data)
	if err != nil {
		defer f.mu.Unlock()
		f.failure = fmt.Errorf("entry %d of the directory's log: %w", entry.Index, err)
		return Result{Err: f.failure}
	}
	out, err := f.state.Apply(entry.Index, c)
	f.mu.Unlock()
	if f.watcher != nil {
		f.watcher(changes(c, out, err))
	}
	return Result{out, err}
}

// changes are the records that a command has changed.
func changes(c Command, out Outcome, err error) []Record {
	switch {
	case err != nil:
		return nil
	case c.Op == Release:
		return []Record{{Cell: c.Cell}}
	case out.Record.Epoch != 0:
		return []Record{out.Record}
	}
	return out.Moved
}

// Find returns a cell's record.
func (f *FSM) Find(c Cell) (Record, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.Find(c)
}

// Records of a tenant, or with "" all, by name.
func (f *FSM) Records(tenant string) []Record {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.Records(tenant)
}

// Sessions that are open, by node.
func (f *FSM) Sessions() map[string]uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.Sessions()
}

// Failure is why nothing is applied any more, or nil. A node with one must not run cells: it
// would not learn that they are others'.
func (f *FSM) Failure() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.failure
}

// Applied is the index of the last command.
func (f *FSM) Applied() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.Applied()
}

// Snapshot implements raft.FSM.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.failure != nil {
		return nil, f.failure // the log must keep what is not applied
	}
	return &snapshot{f.state.copy()}, nil
}

// Restore implements raft.FSM.
func (f *FSM) Restore(from io.ReadCloser) error {
	defer func() { _ = from.Close() }()
	var next State
	if err := next.Read(from); err != nil {
		return err
	}
	f.mu.Lock()
	gone := f.state.Records("")
	f.state, f.failure = next, nil
	now := f.state.Records("")
	f.mu.Unlock()
	if f.watcher != nil {
		f.watcher(difference(gone, now))
	}
	return nil
}

// difference is now, and what is not there any more.
func difference(before, now []Record) []Record {
	there := make(map[Cell]bool, len(now))
	for _, r := range now {
		there[r.Cell] = true
	}
	for _, r := range before {
		if !there[r.Cell] {
			now = append(now, Record{Cell: r.Cell})
		}
	}
	return now
}

type snapshot struct{ state *State }

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.state.WriteTo(sink); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}

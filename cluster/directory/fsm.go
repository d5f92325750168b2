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
	applied uint64
	failure error
	watcher func([]Record)
}

var _ raft.FSM = (*FSM)(nil)

// Result is what raft.ApplyFuture.Response returns.
type Result struct {
	Outcome
	Err error
}

// NewFSM makes an empty directory. The watcher is given the records that a change has
// made or changed, and those that were released, with the epoch 0; after a snapshot was
// installed, all. It is called in the order of the changes and must not block.
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
	f.applied = entry.Index
	f.mu.Unlock()
	if err == nil && f.watcher != nil {
		changed := out.Moved
		if out.Record.Epoch != 0 {
			last := out.Record
			if c.Op == Release {
				last = Record{Cell: c.Cell}
			}
			changed = append(changed, last)
		}
		f.watcher(changed)
	}
	return Result{out, err}
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

// Applied is the index of the last entry.
func (f *FSM) Applied() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.applied
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

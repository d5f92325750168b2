package policystore

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

var _ raft.BatchingFSM = (*fsm)(nil)

// fsm is the state as Raft sees it. Raft calls Apply, ApplyBatch, Snapshot and Restore
// from one goroutine.
type fsm struct{ *state }

// Apply applies one entry. What it returns is an [outcome].
func (f *fsm) Apply(entry *raft.Log) any { return f.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch applies entries in one transaction. Entries that the state has already, which
// Raft brings again after a restart, are skipped. When one cannot be applied, none is, nor
// any after it, until the store is opened again.
func (f *fsm) ApplyBatch(entries []*raft.Log) []any {
	outcomes := make([]any, len(entries))
	before, err := f.appliedIndex()
	if err == nil && entries[len(entries)-1].Index > before {
		err = f.applyAll(entries, outcomes)
	}
	for i := range outcomes {
		if err != nil {
			outcomes[i] = outcome{err: err}
		} else if outcomes[i] == nil {
			outcomes[i] = outcome{}
		}
	}
	return outcomes
}

// appliedIndex is of the last entry that was applied; the error is why none is any more.
func (f *fsm) appliedIndex() (index uint64, err error) {
	if err := f.failure(); err != nil {
		return 0, err
	}
	err = f.view(func(t *transaction) error {
		index = t.head.applied
		return nil
	})
	if err != nil {
		err = f.fail(err)
	}
	return index, err
}

func (f *fsm) applyAll(entries []*raft.Log, outcomes []any) (err error) {
	defer func() {
		// bbolt panics when it meets pages that make no sense.
		if r := recover(); r != nil {
			err = f.fail(fmt.Errorf("panic: %v", r))
		}
	}()
	changed, bytes := false, 0
	err = f.update(func(t *transaction) error {
		for i, entry := range entries {
			if entry.Type != raft.LogCommand || entry.Index <= t.head.applied {
				continue
			}
			o, err := t.apply(entry, f.limits)
			if err != nil {
				return err
			}
			outcomes[i] = o
			bytes += len(entry.Data)
			changed = changed || o.version.Number != 0
		}
		return nil
	})
	if err != nil {
		return f.fail(err)
	}
	if changed {
		f.changed.tell()
	}
	f.moved.tell()
	f.noteLogged(bytes)
	return nil
}

// Snapshot fixes the state of now.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.failure(); err != nil {
		return nil, err // the log must keep what is not applied
	}
	f.logged.Store(0)
	return f.snapshot()
}

// Restore replaces the state. A snapshot of a newer version ends applying, as such an entry does.
func (f *fsm) Restore(from io.ReadCloser) error {
	if err := f.restore(from); err != nil {
		if errors.Is(err, ErrNewer) {
			err = f.fail(err)
		}
		return fmt.Errorf("restore %s: %w", f.path, err)
	}
	return from.Close()
}

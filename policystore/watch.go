package policystore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

// Event is one change of a policy.
type Event struct {
	// Version is what it is now, with its text unless it was deleted.
	Version Version
}

// Watch is a position in the sequence of changes. It holds nothing that must be closed.
type Watch struct {
	store  *Store
	prefix string
	index  uint64 // of the last change that was looked at
}

// Watch follows changes of policies whose names begin with prefix, after an index: one that
// [Listing.Index] or [Version.Index] gave, or 0 for all from the beginning. It follows what
// this node applies; on a node that lags, it lags.
func (s *Store) Watch(ctx context.Context, prefix string, from uint64) (*Watch, error) {
	w := &Watch{store: s, prefix: prefix, index: from}
	err := s.read(ctx, Stale, func(t *transaction) error { return w.kept(t) })
	if err != nil {
		return nil, fmt.Errorf("watch policies: %w", err)
	}
	return w, nil
}

// Next waits for the next change, by index, and returns each exactly once. It returns
// ErrCompacted when a change, or the version that it made, was dropped before it was seen: the
// last 4,096 are kept, and a watcher that is slower is not waited for. One goroutine at a time may call it.
func (w *Watch) Next(ctx context.Context) (Event, error) {
	for {
		changed := w.store.state.changed.next() // before looking, so that none is missed
		var e Event
		var found bool
		err := w.store.read(ctx, Stale, func(t *transaction) (err error) {
			e, found, err = w.look(t)
			return err
		})
		if err != nil {
			return Event{}, fmt.Errorf("watch policies: %w", err)
		}
		if found {
			return e, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		case <-w.store.life.Done():
			return Event{}, fmt.Errorf("watch policies: %w", ErrClosed)
		}
	}
}

// kept refuses a position that changes were dropped behind.
func (w *Watch) kept(t *transaction) error {
	if w.index < t.head.compacted {
		return fmt.Errorf("%w: changes up to index %d are no longer kept, and the last seen was %d; list and watch from the listing's index",
			ErrCompacted, t.head.compacted, w.index)
	}
	return nil
}

// look finds the next change and moves on to it.
func (w *Watch) look(t *transaction) (e Event, found bool, err error) {
	if err := w.kept(t); err != nil {
		return e, false, err
	}
	cursor := t.tx.Bucket(changeBucket).Cursor()
	for k, v := cursor.Seek(indexKey(w.index + 1)); k != nil; k, v = cursor.Next() {
		body, err := t.open(changeBucket, k, v)
		if err != nil {
			return e, false, err
		}
		change, err := decodeReference(body)
		if err != nil || !bytes.Equal(k, indexKey(change.index)) {
			return e, false, t.damage("change %x: %v", k, err)
		}
		if strings.HasPrefix(change.name, w.prefix) {
			if e.Version, err = t.load(change.name, change.number); errors.Is(err, ErrNotFound) {
				err = fmt.Errorf("%w: version %d of policy %s, of the next change, is no longer kept; list and watch from the listing's index", ErrCompacted, change.number, change.name)
			}
			if err != nil {
				return e, false, err
			}
			w.index = change.index
			return e, true, nil
		}
		w.index = change.index
	}
	return e, false, nil
}

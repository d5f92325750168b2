package actors

import (
	"context"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// A snapshot waits for what runs code before it, and what comes after waits for it; the same request
// has one.
func TestSnapshot(t *testing.T) {
	q := newQuick("a")
	s := New(Options{})
	defer func() { _ = s.Close(soon(t)) }()
	at := Address{Tenant: "t", Name: "a"}
	if err := s.Spawn(soon(t), at, Plan{Start: func(context.Context, uint64) (cell.Cell, error) { return q, nil }}); err != nil {
		t.Fatal(err)
	}
	began, release := make(chan struct{}), make(chan struct{})
	q.exec = func(_ context.Context, code string) error {
		if code == "first" {
			close(began)
			<-release
		}
		return nil
	}
	first := s.Begin(soon(t), Envelope{To: at, Body: Exec{Source: cell.Source{Code: []byte("first")}}})
	<-began
	taken := 0
	take := func(_ context.Context, c cell.Checkpointer, epoch uint64) (cell.Value, error) {
		taken++
		q.mu.Lock()
		defer q.mu.Unlock()
		if len(q.ran) != 1 || epoch != 1 || c == nil {
			t.Errorf("in epoch %d there ran %v before it", epoch, q.ran)
		}
		return cell.BytesValue([]byte("kept")), nil
	}
	id := NewID()
	snapshot := s.Begin(soon(t), Envelope{ID: id, To: at, Body: Snapshot{Take: take}})
	second := s.Begin(soon(t), Envelope{To: at, Body: Exec{Source: cell.Source{Code: []byte("second")}}})
	close(release)
	for _, wait := range []func() Reply{first, snapshot, second} {
		if r := wait(); r.Err != nil {
			t.Error(r.Err)
		}
	}
	again := s.Ask(soon(t), Envelope{ID: id, To: at, Body: Snapshot{Take: take}})
	if again.Err != nil || string(again.Value.Data) != "kept" || taken != 1 {
		t.Errorf("asked again: %q, %v; taken %d times", again.Value.Data, again.Err, taken)
	}
	_ = q.Close(soon(t))
	late := s.Ask(soon(t), Envelope{To: at, Body: Snapshot{Take: func(_ context.Context, c cell.Checkpointer, _ uint64) (cell.Value, error) {
		_, err := c.Snapshot(t.Context(), nil)
		return cell.Value{}, err
	}}})
	if late.Err == nil {
		t.Error("a cell that has ended was checkpointed")
	}
}

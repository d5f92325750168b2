package server

import (
	"testing"

	"github.com/pyisolate/pyisolate/actors"
)

// A restore that comes again by another way while the first is under way, or when it has just been done, has its answer.
func TestTheSameRestoreTwice(t *testing.T) {
	k, id := cellKey{"default", "web"}, actors.ID{1}
	s, r, _ := savedCell(t, &records{place: Place{Node: "n1", Epoch: 7, Phase: Active}}, 0)
	u := &restoring{by: id, done: make(chan struct{})}
	s.transfers.restores[k] = u
	over, ctx := make(chan struct{}), &watched{Context: t.Context(), waits: make(chan struct{})}
	go func() {
		defer close(over)
		if e, err := s.transfers.adopt(ctx, k, id); e != r.entry || err != nil {
			t.Errorf("under way: %v, %v", e, err)
		}
	}()
	<-ctx.waits
	if _, err := s.book.reserve(r.entry); err != nil {
		t.Fatal(err)
	}
	close(r.entry.spawned)
	s.book.restored(k, id)
	s.transfers.mu.Lock()
	delete(s.transfers.restores, k)
	s.transfers.mu.Unlock()
	close(u.done)
	<-over
	if e, err := s.transfers.adopt(t.Context(), k, id); e != r.entry || err != nil {
		t.Errorf("just done: %v, %v", e, err)
	}
	if _, err := s.transfers.adopt(t.Context(), k, actors.ID{2}); err == nil {
		t.Error("another request has restored it, too")
	}
}

package server

import (
	"context"
	"net/http"
	"testing"

	"github.com/pyisolate/pyisolate/internal/await"
)

// Who closes waits for answers that are under way, and for no connection beside.
func TestTrafficSettles(t *testing.T) {
	s, waiting, asking := newTraffic(), &fakeConn{}, &fakeConn{}
	for _, c := range []*fakeConn{waiting, asking} {
		s.changed(c, http.StateNew)
		s.changed(c, http.StateActive)
	}
	s.changed(waiting, http.StateIdle)
	short, cancel := context.WithTimeout(t.Context(), 3*calmFor)
	defer cancel()
	if s.settle(short); short.Err() == nil {
		t.Error("an answer that is under way is not waited for")
	}
	settled := make(chan struct{})
	go func() { s.settle(t.Context()); close(settled) }()
	s.changed(asking, http.StateClosed)
	await.That(t, "all is answered", func() bool {
		select {
		case <-settled:
			return true
		default:
			return false
		}
	})
}

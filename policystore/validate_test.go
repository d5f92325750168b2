package policystore

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// TestFewValidations has a third validation wait for the first two, no longer than its
// context lasts.
func TestFewValidations(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var under, most atomic.Int32
	s := openTest(t, Config{Validate: func(string, []byte) error {
		if n := under.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer under.Add(-1)
		begun <- struct{}{}
		<-release
		return nil
	}})
	done := make(chan error)
	put := func(ctx context.Context) {
		_, err := s.Put(ctx, editor, PutRequest{Name: "p", Text: []byte("x")})
		done <- err
	}
	for range maxJudging {
		go put(t.Context())
		<-begun
	}
	ctx, cancel := context.WithCancel(t.Context())
	go put(ctx)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go put(t.Context())
	close(release)
	<-begun
	for range maxJudging + 1 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > maxJudging {
		t.Errorf("%d at once", most.Load())
	}
}

package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/internal/turns"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// What a policy means is found once, in a turn of who asks; then it needs none.
func TestMeaning(t *testing.T) {
	s := &cells{judge: &judge{turns: turns.New(1)}, compiled: newCompiled()}
	text := []byte("version: \"1.0\"\nsandboxes:\n  a: {imports: [math]}\n  b: {imports: [json]}\n")
	key := compiledKey{"web", "a", sha256.Sum256(text)}
	done, err := s.judge.turns.Wait(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.meaning(over, "x", key, text, true); !errors.Is(err, context.Canceled) {
		t.Errorf("without a turn: %v", err)
	}
	done()
	first, err := s.meaning(t.Context(), "x", key, text, false)
	if err != nil {
		t.Fatal(err)
	}
	if done, err = s.judge.turns.Wait(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if again, err := s.meaning(over, "y", key, text, true); err != nil || again != first {
		t.Errorf("again: %v", err)
	}
	done()
	key.sandbox = "b"
	if other, err := s.meaning(t.Context(), "x", key, text, false); err != nil || other.Sandbox != "b" {
		t.Errorf("another sandbox: %v, %v", other, err)
	}
	key.sandbox = "c"
	if _, err := s.meaning(t.Context(), "x", key, text, false); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("no sandbox: %v", err)
	}
}

func TestCompiledIsBounded(t *testing.T) {
	c := newCompiled()
	key := func(i int) compiledKey { return compiledKey{sandbox: string(rune('a' + i))} }
	for i := range 10 {
		c.put(key(i), maxCompiled/8, new(document.Compiled))
		c.get(key(0)) // which stays
	}
	if len(c.of) != 7 || c.used.Len() != 7 || c.bytes > maxCompiled || c.get(key(0)) == nil || c.get(key(1)) != nil {
		t.Errorf("%d are remembered, %d bytes", len(c.of), c.bytes)
	}
}

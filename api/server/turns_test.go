package server

import (
	"context"
	"testing"
	"time"
)

// One holder has one turn, whatever he asks for, and others have theirs meanwhile.
func TestTurns(t *testing.T) {
	turns := newTurns(2)
	first, err := turns.wait(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := turns.wait(soon, "a"); err == nil {
		t.Error("a has two turns")
	}
	second, err := turns.wait(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	later, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := turns.wait(later, "c"); err == nil {
		t.Error("three are at work")
	}
	first()
	third, err := turns.wait(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	second()
	third()
	if len(turns.of) != 0 || len(turns.all) != 0 {
		t.Errorf("%v, %d are left", turns.of, len(turns.all))
	}
}

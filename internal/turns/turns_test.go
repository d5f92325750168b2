package turns

import (
	"context"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

// One holder has one turn, whatever he asks for, and others have theirs meanwhile.
func TestTurns(t *testing.T) {
	turns := New(2)
	first, err := turns.Wait(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := turns.Wait(soon, "a"); err == nil {
		t.Error("a has two turns")
	}
	second, err := turns.Wait(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	later, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := turns.Wait(later, "c"); err == nil {
		t.Error("three are at work")
	}
	first()
	third, err := turns.Wait(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	second()
	third()
	if len(turns.of) != 0 || len(turns.all) != 0 {
		t.Errorf("%v, %d are left", turns.of, len(turns.all))
	}
}

// Holders within another have one turn each, and together the other's.
func TestTurnsWithinOthers(t *testing.T) {
	turns := New(3)
	begun := make(chan string)
	ask := func(inner string) {
		done, err := turns.Wait(t.Context(), inner, "node")
		if err != nil {
			t.Error(err)
		}
		begun <- inner
		defer done()
	}
	first, err := turns.Wait(t.Context(), "a", "node")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		go ask("a")
	}
	go ask("b")
	await.That(t, "b waits for the node's turn", func() bool { return turns.users("node") == 5 })
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := turns.Wait(soon, "c", "node"); err == nil {
		t.Error("the node has two turns")
	}
	other, err := turns.Wait(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	other()
	first()
	for i := range 4 {
		if who := <-begun; who == "b" && i > 1 {
			t.Errorf("b had the turn after %d of a's", i)
		}
	}
	await.That(t, "nothing is left", func() bool { return turns.users("node")+turns.users("a") == 0 && len(turns.all) == 0 })
}

func (t *Turns) users(holder string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own := t.of[holder]; own != nil {
		return own.users
	}
	return 0
}

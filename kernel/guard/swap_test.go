package guard

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func TestSwap(t *testing.T) {
	g := guarded(t)
	tr := newTree(t)
	onlyA := own(policy.FileRule{Path: tr.at("a"), Access: policy.Read})
	onlyB := own(policy.FileRule{Path: tr.at("b"), Access: policy.Read})
	a, b := newCell(t, g, onlyA), newCell(t, g, onlyB)
	// Two threads that stay, and read what they are told.
	ask := func(c *Cell) (chan string, chan error) {
		paths, answers := make(chan string), make(chan error)
		go on(t, c, func() error {
			for path := range paths {
				fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err == nil {
					_ = unix.Close(fd)
				}
				answers <- err
			}
			close(answers)
			return nil
		})
		return paths, answers
	}
	toA, fromA := ask(a)
	toB, fromB := ask(b)
	look := func(to chan string, from chan error, name string) bool {
		to <- tr.at(name)
		return <-from == nil
	}
	for round := range 40 {
		swapped := round%2 == 1
		if look(toA, fromA, "a/file") == swapped || look(toA, fromA, "b/file") != swapped ||
			look(toB, fromB, "b/file") == swapped || look(toB, fromB, "a/file") != swapped {
			t.Fatalf("round %d: wrong verdicts", round)
		}
		first, second := onlyB, onlyA
		if swapped {
			first, second = onlyA, onlyB
		}
		if err := errors.Join(a.Swap(first), b.Swap(second)); err != nil {
			t.Fatal(err)
		}
	}
	a.DenyAll()
	if look(toA, fromA, "a/file") || look(toA, fromA, "b/file") {
		t.Error("something is left after DenyAll")
	}
	close(toA)
	close(toB)
	for range fromA { // until its thread has ended
	}
	for range fromB {
	}
}

// TestManySwaps needs more slots than there are, so that they are used again.

func TestManySwaps(t *testing.T) {
	g := guarded(t)
	g.mu.Lock()
	rest := g.slots.free[3:]
	g.slots.free = g.slots.free[:3:3]
	g.mu.Unlock()
	t.Cleanup(func() { g.slots.free = append(g.slots.free, rest...) })
	tr := newTree(t)
	c := newCell(t, g, policy.Policy{})
	other := newCell(t, g, own(policy.FileRule{Path: tr.at("b"), Access: policy.Read}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 60 {
			p := own(policy.FileRule{Path: tr.at("a"), Access: policy.Read})
			if i%2 == 0 {
				p = policy.Policy{}
			}
			if err := c.Swap(p); err != nil {
				t.Error(err)
			}
		}
	}()
	on(t, other, func() error {
		for {
			if err := denied("in between", readAs(tr.at("a/file"))); err != nil {
				return err
			}
			if _, err := os.ReadFile(tr.at("b/file")); err != nil {
				return err
			}
			select {
			case <-done:
				return nil
			default:
			}
		}
	})
}

package stack

import (
	"testing"
	"unsafe"
)

// deep is a call that needs n frames of a hundred words, with pointers among them, as calls of libraries do.
//
//go:noinline
func deep(n int, up *[100]*int) int {
	var here [100]*int
	if n == 0 {
		return 0
	}
	here[n%len(here)] = new(int)
	return deep(n-1, &here) + *here[n%len(here)]
}

// moved goes deep, and reports whether the stack is somewhere else afterwards.
func moved(n int) bool {
	var mark int
	before := uintptr(unsafe.Pointer(&mark))
	deep(n, nil)
	return before != uintptr(unsafe.Pointer(&mark))
}

// Who has had room made does not grow on the way down.
func TestRoom(t *testing.T) {
	moves := make(chan bool)
	go func() {
		Room()
		moves <- moved(20)
	}()
	if <-moves {
		t.Error("the stack has moved all the same")
	}
	go func() { moves <- moved(20) }()
	if !<-moves {
		t.Error("the stack does not move without, either: this test shows nothing")
	}
}

// BenchmarkRoom is a goroutine that goes deep, with and without room made for it.
func BenchmarkRoom(b *testing.B) {
	for _, way := range []struct {
		name  string
		begin func()
	}{{"grown", func() {}}, {"made", Room}} {
		b.Run(way.name, func(b *testing.B) {
			done := make(chan int)
			for b.Loop() {
				go func() {
					way.begin()
					done <- deep(20, nil)
				}()
				<-done
			}
		})
	}
}

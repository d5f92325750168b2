package live

import (
	"context"
	"fmt"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// BenchmarkVersion is from a commit until each of 200 targets, which do nothing, has been asked.
func BenchmarkVersion(b *testing.B) {
	served := make(chan Report, 200)
	w := newWorld(b, Options{Reported: func(r Report) { served <- r }})
	w.put("p", "a: { files: 10 }")
	for range cap(served) {
		w.follow("p", "", idle{})
		<-served
	}
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		w.put("p", fmt.Sprintf("a: { files: %d }", 10+i%2))
		b.StartTimer()
		for range cap(served) {
			<-served
		}
	}
}

// idle is a target that does nothing.
type idle struct{}

func (idle) Apply(context.Context, Revision) (cell.Reloaded, error) { return cell.Reloaded{}, nil }

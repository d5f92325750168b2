package actors

import (
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// BenchmarkAsk is the way through the actor and back, without a cell's own.
func BenchmarkAsk(b *testing.B) {
	s, _ := newSystem(b, Options{})
	var cells started
	spawn(b, s, worker, cells.plan())
	env := Envelope{To: worker, Body: Call{cell.Invocation{Target: "f", Raw: make([]byte, 1024)}}}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if r := s.Ask(ctx, env); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

package actors

import (
	"context"
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

// BenchmarkMove is what the actors add to a move: both lines are held, the cell gets another actor with
// what is carried, and what is held goes on there. Half of what can be remembered is.
func BenchmarkMove(b *testing.B) {
	p := newPair(b, Options{})
	var cells started
	p.spawn(b, cells.plan())
	for range seenIDs / 2 {
		env := exec(worker, "")
		env.ID = NewID()
		p.a.Ask(b.Context(), env)
	}
	plan := Plan{Start: func(context.Context, uint64) (cell.Cell, error) { return newQuick("next"), nil }}
	from, to := p.a, p.b
	b.ReportAllocs()
	for b.Loop() {
		for len(p.told) > 0 {
			<-p.told
		}
		for len(p.rest) > 0 {
			<-p.rest
		}
		if r := p.move(b, from, p.to(b, to, plan)); r.Err != nil {
			b.Fatal(r.Err)
		}
		from, to = to, from
	}
}

// BenchmarkCarried is to encode and decode as much as a cell carries.
func BenchmarkCarried(b *testing.B) {
	c := full()
	b.ReportAllocs()
	for b.Loop() {
		data, err := c.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(data)))
		if err := c.UnmarshalBinary(data); err != nil {
			b.Fatal(err)
		}
	}
}

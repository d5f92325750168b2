package remote

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
)

// BenchmarkAsk is a question of 1 kB to a cell of another process, and its answer of 1 kB.
func BenchmarkAsk(b *testing.B) {
	a, _ := pair(b)
	env := invoke("echo-on-b", "echo", make([]byte, 1024))
	ctx := b.Context()
	ask := func() time.Duration {
		begun := time.Now()
		if r := a.system.Ask(ctx, env); r.Err != nil {
			b.Fatal(r.Err)
		}
		return time.Since(begun)
	}
	for range 100 {
		ask()
	}
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		took = append(took, ask())
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkMessages is 1 kB into the inbox of a cell of another process, each acknowledged by its
// answer, with 256 senders.
func BenchmarkMessages(b *testing.B) {
	a, _ := pair(b)
	env := actors.Envelope{To: at("echo-on-b"), Body: actors.Post{Value: cell.BytesValue(make([]byte, 1024))}}
	if r := a.system.Ask(b.Context(), env); r.Err != nil {
		b.Fatal(r.Err)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range 256 {
		all.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if r := a.system.Ask(b.Context(), env); r.Err != nil {
					b.Error(r.Err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkUnreachable is what it takes to be told that a node is not there.
func BenchmarkUnreachable(b *testing.B) {
	a := here(b, newCluster(b, "a"), "a")
	env := post("echo-on-b", "x")
	for b.Loop() {
		if r := a.system.Ask(b.Context(), env); cell.KindOf(r.Err) != cell.Busy {
			b.Fatal(r.Err)
		}
	}
}

package seal_test

import (
	"fmt"
	"testing"

	"github.com/pyisolate/pyisolate/broker/seal"
)

// A batch is what one frame carries. Seal and Open are measured apart, because
// in use they run on two processors: the slower one is the one-way throughput.
var batches = []struct{ messages, size int }{
	{1, 64}, {1, 1 << 10}, {1, 16 << 10}, {1, 64 << 10}, {64, 64}, {64, 1 << 10},
}

func benchmarkBatches(b *testing.B, run func(b *testing.B, from, to *seal.Session, batch []byte)) {
	for _, c := range batches {
		b.Run(fmt.Sprintf("%dx%d", c.messages, c.size), func(b *testing.B) {
			node, host := sessions(b)
			b.SetBytes(int64(c.messages * c.size))
			b.ReportAllocs()
			run(b, node, host, make([]byte, c.messages*c.size))
			b.ReportMetric(float64(b.N*c.messages)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmarkBatches(b, func(b *testing.B, from, _ *seal.Session, batch []byte) {
		frame := make([]byte, 0, len(batch)+seal.Overhead)
		for b.Loop() {
			if _, err := from.Out.Seal(frame, batch); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Frames can be opened once only, so they are sealed outside the measured time.
func BenchmarkOpen(b *testing.B) {
	benchmarkBatches(b, func(b *testing.B, from, to *seal.Session, batch []byte) {
		size := len(batch) + seal.Overhead
		chunk := max(1, min(1024, (1<<20)/size))
		store := make([]byte, 0, chunk*size)
		left := 0
		for b.Loop() {
			if left == 0 {
				b.StopTimer()
				store = store[:0]
				for range chunk {
					store = must(from.Out.Seal(store, batch))(b)
				}
				left = chunk
				b.StartTimer()
			}
			at := (chunk - left) * size
			if _, err := to.In.Open(store[at : at+size]); err != nil {
				b.Fatal(err)
			}
			left--
		}
	})
}

// Seal on one goroutine, open on another, the whole way between two processors.
func BenchmarkOneWay(b *testing.B) {
	benchmarkBatches(b, func(b *testing.B, from, to *seal.Session, batch []byte) {
		const depth = 16
		full, free := make(chan []byte, depth), make(chan []byte, depth)
		for range depth {
			free <- make([]byte, 0, len(batch)+seal.Overhead)
		}
		done := make(chan error)
		go func() {
			var first error
			for frame := range full {
				if _, err := to.In.Open(frame); err != nil && first == nil {
					first = err
				}
				free <- frame[:0]
			}
			done <- first
		}()
		for b.Loop() {
			frame, err := from.Out.Seal(<-free, batch)
			if err != nil {
				b.Fatal(err)
			}
			full <- frame
		}
		close(full)
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkHandshake(b *testing.B) {
	for _, suite := range []seal.Suite{seal.XWing, seal.X25519} {
		b.Run(suite.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sessions(b, suite)
			}
		})
	}
}

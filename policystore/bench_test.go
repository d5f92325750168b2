package policystore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkCommit is a change on one node until it is acknowledged: two files are on the
// disk by then. p50 and p99 are reported beside the mean.
func BenchmarkCommit(b *testing.B) {
	for name, size := range map[string]int{"1KiB": 1 << 10, "64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			s := openTest(b, Config{})
			text := make([]byte, size)
			var times []time.Duration
			for i := 0; b.Loop(); i++ {
				copy(text, fmt.Sprintf("%10d", i))
				start := time.Now()
				if _, err := s.Put(context.Background(), editor, PutRequest{Name: fmt.Sprint("policy", i%100), Text: text}); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkCommitParallel is 64 writers at once, who share what goes to the disk.
func BenchmarkCommitParallel(b *testing.B) {
	s := openTest(b, Config{})
	var n atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			i := n.Add(1)
			if _, err := s.Put(context.Background(), editor, PutRequest{Name: fmt.Sprint("policy", i%100), Text: fmt.Appendf(nil, "%1000d", i)}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// filled is a store with some history.
func filled(b *testing.B, dir string) *Store {
	b.Helper()
	s := mustOpen(b, Config{Dir: dir})
	for i := range 1000 {
		mustPut(b, s, fmt.Sprint("policy", i%100), fmt.Sprintf("%2000d", i))
	}
	return s
}

func BenchmarkGet(b *testing.B) {
	s := filled(b, b.TempDir())
	defer mustClose(b, s)
	for name, c := range map[string]Consistency{"linearizable": Linearizable, "stale": Stale} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, err := s.Get(context.Background(), fmt.Sprint("policy", i%100), 0, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen reads all files of a store with 1,000 versions, to the first answer.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	mustClose(b, filled(b, dir))
	for b.Loop() {
		mustClose(b, mustOpen(b, Config{Dir: dir}))
	}
}

func BenchmarkVerifyAudit(b *testing.B) {
	s := filled(b, b.TempDir())
	defer mustClose(b, s)
	for b.Loop() {
		if _, err := s.VerifyAudit(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBackup writes a snapshot of a store with 1,000 versions, and reads it.
func BenchmarkBackup(b *testing.B) {
	s := filled(b, b.TempDir())
	defer mustClose(b, s)
	var backup bytes.Buffer
	for b.Loop() {
		backup.Reset()
		if err := s.Backup(context.Background(), &backup); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(backup.Len()))
		if err := readSnapshot(&backup, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

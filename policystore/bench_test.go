package policystore

import (
	"context"
	"fmt"
	"slices"
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

package launch

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// A policy's rule for what Python needs adds to it, in its place; others follow. What is given is
// left as it was, since cells share it.
func TestMerge(t *testing.T) {
	const r, w = policy.Read, policy.Write
	python := []policy.FileRule{{Path: "/lib", Access: r}, {Path: "/dev/null", Access: r}}
	own := []policy.FileRule{{Path: "/data", Access: r}, {Path: "/dev/null", Access: w}, {Path: "/lib", Glob: "/lib/*.so", Access: w}, {Path: "/lib"}, {Path: "/data", Access: w}}
	want := []policy.FileRule{{Path: "/lib", Access: r}, {Path: "/dev/null", Access: r | w}, {Path: "/data", Access: r | w}, {Path: "/lib", Glob: "/lib/*.so", Access: w}}
	if diff := cmp.Diff(want, merge(python, own)); diff != "" {
		t.Error(diff)
	}
	if python[1].Access != r {
		t.Error("what Python needs has been changed")
	}
}

// BenchmarkMergeMany says what a rule costs among few, and among as many as a document may have: about the same.
func BenchmarkMergeMany(b *testing.B) {
	for _, rules := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("%d", rules), func(b *testing.B) {
			var own []policy.FileRule
			for i := range rules {
				own = append(own, policy.FileRule{Path: fmt.Sprintf("/none/%d", i)})
			}
			for b.Loop() {
				merge(nil, own)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rules), "ns/rule")
		})
	}
}

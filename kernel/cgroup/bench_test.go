package cgroup

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"
)

func BenchmarkCreateRemove(b *testing.B) {
	tree := newTree(b, 0)
	for b.Loop() {
		g, err := tree.Create("bench", Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Remove(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSet(b *testing.B) {
	tree := newTree(b, 0)
	if tree.Places()[CPU].Version == 0 {
		b.Skip("no processor controller")
	}
	g := create(b, tree, Limits{})
	for b.Loop() {
		if err := g.Set(Limits{CPU: 50 * time.Millisecond}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		tree, err := Open(Options{Name: fmt.Sprintf("pyisolate-bench-%d", os.Getpid())})
		if err != nil {
			b.Fatal(err)
		}
		if err := tree.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

package main

import (
	"context"
	"os"
	"testing"

	"github.com/pyisolate/pyisolate/cell/host"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	os.Exit(m.Run())
}

// The answer is checked here; how much faster it comes is for the benchmarks.
func TestParallel(t *testing.T) {
	if err := run(context.Background(), 20_000, 2); err != nil {
		t.Fatal(err)
	}
}

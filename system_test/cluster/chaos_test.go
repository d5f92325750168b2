package clustertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

// Whatever happens to nodes and links, clients see one cluster, and when it is over it is whole.
// -chaos says for how long it happens, -seed draws the same again.
func TestChaos(t *testing.T) {
	f := form(t, fabrictest.Options{Nodes: *nodes})
	t.Logf("seed %d", *seed)
	var names []string
	for _, n := range f.Nodes {
		names = append(names, n.Name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	history := &fabrictest.History{}
	load := fabrictest.Workload{Fabric: f, Seed: *seed, History: history}
	var clients sync.WaitGroup
	clients.Go(func() { load.Run(ctx) })
	wait(ctx, time.Second)
	for _, fault := range fabrictest.Plan(*seed, names, f.Links(), *chaos) {
		if err := f.Do(ctx, fault); err != nil {
			t.Error(err)
			break
		}
	}
	cancel()
	clients.Wait()
	judge(t, f, history)
}

// judge ends every test in which clients called.
func judge(t *testing.T, f *fabrictest.Fabric, history *fabrictest.History) {
	t.Helper()
	if err := f.Converge(within(t, time.Minute)); err != nil {
		t.Error(err)
	} else if err := f.Verify(within(t, time.Minute), history); err != nil {
		t.Error(err)
	}
	size := history.Size()
	t.Logf("%+v", size)
	if size.Policies < 20 || size.Counts < 20 || size.Spawns < 3 || size.Lives < 50 {
		t.Error("so little shows nothing")
	}
	if err := history.Check(t.ArtifactDir()); err != nil {
		t.Error(err)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

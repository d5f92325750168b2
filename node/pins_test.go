package node

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/node/fabric"
)

// oldCheckpoint puts one into the data directory of a node that does not run.
func oldCheckpoint(t *testing.T, data string) {
	t.Helper()
	ring, err := checkpoint.OpenRing(filepath.Join(data, ringFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := checkpoint.OpenArchive(filepath.Join(data, archiveDir), ring, checkpoint.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Seal(checkpoint.Header{Tenant: "default", Cell: "web", Epoch: 7, Backend: "subinterpreter", Python: "cpython-314", Created: time.Now().Add(-time.Hour)}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Keep(); err != nil {
		t.Fatal(err)
	}
}

// What is old goes soon after the start; in a cluster when the node has heard that nobody needs it.
func TestOldCheckpointsGoWhenTheNodeStarts(t *testing.T) {
	for name, member := range map[string]bool{"by itself": false, "in a cluster": true} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if member {
				found(t, data, "n1")
			}
			if err := WithData(data, "v1", func(dir string) error { oldCheckpoint(t, dir); return nil }); err != nil {
				t.Fatal(err)
			}
			n, _, _ := opened(t, func(c *Config) {
				c.Data, c.CheckpointAge, c.ClusterLease, c.ClusterTimeout = data, time.Minute, time.Second, 150*time.Millisecond
			})
			await.That(t, "it is removed", func() bool { return len(n.checkpoints.Archive.List("", "")) == 0 })
			if n.learned.Load() != member {
				t.Errorf("it has heard from the cluster: %t", n.learned.Load())
			}
		})
	}
}

// A node that has not heard from the cluster since it started takes any checkpoint to be needed.
func TestCheckpointsAreNeededUntilTheClusterIsHeard(t *testing.T) {
	n := &Node{fabric: fabric.New(fabric.Config{})}
	t.Cleanup(n.fabric.Close)
	i := checkpoint.Info{ID: "c0ffee", Header: checkpoint.Header{Tenant: "default", Cell: "web"}}
	if !n.countsOn(i) {
		t.Error("nobody needs it, as far as is known: nothing is")
	}
	n.learned.Store(true)
	if n.countsOn(i) {
		t.Error("it is needed, and no cell has it")
	}
}

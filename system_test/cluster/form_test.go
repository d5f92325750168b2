package clustertest

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

// A cluster is formed on each kind of network, and leaves nothing when it ends.
func TestForm(t *testing.T) {
	for _, network := range []string{fabrictest.Namespaces, fabrictest.Loopback} {
		t.Run(network, func(t *testing.T) {
			began := time.Now()
			f := form(t, fabrictest.Options{Network: network})
			t.Logf("%d nodes after %s", len(f.Nodes), time.Since(began))
		})
	}
}

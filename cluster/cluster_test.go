package cluster

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/internal/await"
)

func TestForm(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	nodes := form(t, 3)
	t.Logf("three nodes in %s", time.Since(begin))
	for _, n := range nodes {
		await.That(t, n.name+" has the authority", func() bool { return n.Status().Authority })
		for _, m := range n.Members() {
			if m.State != Alive || !m.Voter || m.Address == "" || m.Joined.IsZero() {
				t.Errorf("at %s: %+v", n.name, m)
			}
		}
	}
	// What one claims, the others know.
	c := directory.Cell{Tenant: "acme", Name: "one"}
	nodes[1].claims(t, c)
	must(t, nodes[2].Group().Fence(soon(t)))
	if r, ok := nodes[2].Group().Find(c); !ok || r.Owner.Node != "n2" {
		t.Errorf("%+v, %v", r, ok)
	}
}

package fabrictest

import (
	"fmt"
	"net"
	"net/http"
	"testing"
)

// telling is a node that tells how often it has lost its lease.
func telling(t *testing.T, name string, lapses *int) *Node {
	t.Helper()
	n := &Node{Name: name, dir: t.TempDir()}
	l, err := net.Listen("unix", n.Socket())
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "# TYPE pyisolate_cluster_lease_lapses_total counter\npyisolate_cluster_lease_lapses_total %d\n", *lapses)
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return n
}

// Who lost a lease is told, but for the one that was struck, and those that do not tell.
func TestLost(t *testing.T) {
	counts := []int{1, 4, 2}
	f := &Fabric{options: Options{Logf: t.Logf}}
	for i := range counts {
		f.Nodes = append(f.Nodes, telling(t, fmt.Sprint("n", i+1), &counts[i]))
	}
	f.Nodes = append(f.Nodes, &Node{Name: "n4", dir: t.TempDir()})
	had := f.leases(t.Context())
	if lost := f.lost(had, f.leases(t.Context()), nil); lost != "" {
		t.Errorf("nothing has happened, and lost have %s", lost)
	}
	counts[0], counts[1], counts[2] = 2, 5, 0 // the last was started again
	if lost := f.lost(had, f.leases(t.Context()), nil); lost != "n1, n2" {
		t.Errorf("lost have %s", lost)
	}
	if lost := f.lost(had, f.leases(t.Context()), f.Nodes[1]); lost != "n1" {
		t.Errorf("beside n2 lost have %s", lost)
	}
}

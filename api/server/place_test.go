package server_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
)

// A node by itself starts no cell that is to be on another kind of node.
func TestPlacementOfOneNode(t *testing.T) {
	n := newNode(t, func(c *server.Config) {
		c.Node = func() *pb.Node {
			return &pb.Node{Id: "n1", Labels: map[string]string{"zone": "a"},
				Layers: []*pb.Layer{{Name: "files per cell", Active: true}, {Name: "network per cell"}}}
		}
	})
	for _, row := range []struct {
		name    string
		p       *pb.Placement
		refused string
	}{
		{"its own", &pb.Placement{Node: "n1", Labels: map[string]string{"zone": "a"}, Layers: []string{"files per cell"}}, ""},
		{"a layer as members have it", &pb.Placement{Layers: []string{"files-per-cell"}}, ""},
		{"another label", &pb.Placement{Labels: map[string]string{"zone": "b"}}, "its label zone is a, not b"},
		{"no such label", &pb.Placement{Labels: map[string]string{"disk": "*"}}, "it has no label disk"},
		{"a layer that is missing", &pb.Placement{Layers: []string{"network per cell"}}, "it lacks the layer network-per-cell"},
		{"no such layer", &pb.Placement{Layers: []string{"walls"}}, "it lacks the layer walls"},
		{"another node", &pb.Placement{Node: "n2"}, `this node is "n1"`},
	} {
		_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Tenant: "acme", Placement: row.p}))
		switch {
		case row.refused == "":
			if err != nil {
				t.Errorf("%s: %v", row.name, err)
			}
		case cell.KindOf(err) != cell.Invalid || !strings.Contains(err.Error(), row.refused):
			t.Errorf("%s: %v; want %q", row.name, err, row.refused)
		}
	}
}

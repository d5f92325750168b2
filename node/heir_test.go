package node

import (
	"slices"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/server"
)

// TestHeir: a cell that comes before there is a server goes on when there is one, once, and before those that
// come later.
func TestHeir(t *testing.T) {
	place := func(epoch uint64) server.Place {
		return server.Place{Address: actors.Address{Tenant: "acme", Name: "c"}, Epoch: epoch}
	}
	n := &Node{}
	var got []uint64
	n.heir.inherit(place(1))
	n.heir.inherit(place(2))
	n.heir.begin(func(p server.Place) { got = append(got, p.Epoch) })
	n.heir.inherit(place(3))
	if !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("what goes on is %v", got)
	}
}

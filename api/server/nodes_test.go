package server_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

func TestListNodes(t *testing.T) {
	var described atomic.Pointer[pb.Node]
	described.Store(&pb.Node{Id: "one", State: "ready"})
	n := newNode(t, func(c *server.Config) {
		c.Node = described.Load
	})
	if r := spawned(t, n.Client, &pb.SpawnRequest{}); r.GetNode() != "one" {
		t.Errorf("the cell is on %q", r.GetNode())
	}
	answer, err := n.Nodes.ListNodes(t.Context(), connect.NewRequest(&pb.ListNodesRequest{}))
	must(t, err)
	if all := answer.Msg.GetNodes(); len(all) != 1 || all[0].GetId() != "one" || all[0].GetCells() != 1 || all[0].GetMaxCells() != 4096 {
		t.Errorf("%v", all)
	}
	described.Store(&pb.Node{Id: "one", MaxCells: 7}) // as it is configured
	answer, err = n.Nodes.ListNodes(t.Context(), connect.NewRequest(&pb.ListNodesRequest{}))
	must(t, err)
	if most := answer.Msg.GetNodes()[0].GetMaxCells(); most != 7 {
		t.Errorf("%d cells are possible, of 7", most)
	}
}

// Who may hear of what, and what is missing.
func TestEvents(t *testing.T) {
	hub := events.NewHub(8)
	n := newNode(t, func(c *server.Config) { c.Observer = &telemetry.Observer{Events: hub} })
	publish := func(tenant string, k events.Kind) {
		hub.Publish(events.Event{Kind: k, Tenant: tenant, Cell: "c", Epoch: 1, Message: "a\xffb", Denial: &cell.Denial{Action: "\xff"}})
	}
	publish("a", events.CellStarted)
	publish("b", events.Denied)
	publish("", events.NodeReady)
	kinds := func(c *client.Client, r *pb.EventsRequest, most int) (got []string) {
		stream, err := c.Nodes.Events(t.Context(), connect.NewRequest(r))
		must(t, err)
		defer func() { _ = stream.Close() }()
		for len(got) < most && stream.Receive() {
			if stream.Msg().GetLost() > 0 {
				got = append(got, "lost")
			} else {
				got = append(got, stream.Msg().GetEvent().GetKind())
			}
		}
		if len(got) < most && stream.Err() != nil {
			t.Error(stream.Err())
		}
		return got
	}
	bound, _ := n.as(t, "viewer", "a")
	for name, c := range map[string]struct {
		as   *client.Client
		ask  *pb.EventsRequest
		want []string
	}{
		"all":                 {n.Client, &pb.EventsRequest{}, []string{"CELL_STARTED", "DENIED", "NODE_READY"}},
		"one tenant's":        {n.Client, &pb.EventsRequest{Tenant: "b"}, []string{"DENIED"}},
		"one kind":            {n.Client, &pb.EventsRequest{Kinds: []string{"NODE_READY"}}, []string{"NODE_READY"}},
		"another cell's":      {n.Client, &pb.EventsRequest{Cell: "d"}, nil},
		"what the bound sees": {bound, &pb.EventsRequest{}, []string{"CELL_STARTED"}},
		"after":               {n.Client, &pb.EventsRequest{After: 2}, []string{"NODE_READY"}},
	} {
		if got := kinds(c.as, c.ask, 100); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for range 20 {
		publish("", events.PolicyPut)
	}
	if got := kinds(n.Client, &pb.EventsRequest{After: 1, Follow: true}, 3); !slices.Equal(got, []string{"lost", "DENIED", "POLICY_PUT"}) {
		t.Errorf("%v", got)
	}
	if got := kinds(bound, &pb.EventsRequest{After: 1}, 100); len(got) != 0 {
		t.Errorf("who is bound hears %v of what others have lost", got)
	}
	for _, refused := range []struct {
		as   *client.Client
		ask  *pb.EventsRequest
		want error
	}{{bound, &pb.EventsRequest{Tenant: "b"}, policystore.ErrDenied}, {n.Client, &pb.EventsRequest{Kinds: []string{"NOTHING"}}, policystore.ErrInvalid}} {
		stream, err := refused.as.Nodes.Events(t.Context(), connect.NewRequest(refused.ask))
		if err == nil {
			stream.Receive()
			err = stream.Err()
			_ = stream.Close()
		}
		if !errors.Is(err, refused.want) {
			t.Errorf("%v: %v", refused.ask, err)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// asking notes what a node is asked for, and answers little.
type asking struct {
	api.UnimplementedCellServiceHandler
	asked []any
}

func (a *asking) ListCheckpoints(_ context.Context, r *connect.Request[pb.ListCheckpointsRequest]) (*connect.Response[pb.ListCheckpointsResponse], error) {
	a.asked = append(a.asked, r.Msg)
	return connect.NewResponse(&pb.ListCheckpointsResponse{Checkpoints: []*pb.CheckpointInfo{
		{Id: strings.Repeat("3f", 32), Cell: &pb.CellRef{Tenant: "team", Name: "one"}}}}), nil
}

func (a *asking) Spawn(_ context.Context, r *connect.Request[pb.SpawnRequest]) (*connect.Response[pb.SpawnResponse], error) {
	a.asked = append(a.asked, r.Msg)
	return connect.NewResponse(&pb.SpawnResponse{}), nil
}

func (a *asking) Restore(_ context.Context, r *connect.Request[pb.RestoreRequest]) (*connect.Response[pb.RestoreResponse], error) {
	a.asked = append(a.asked, r.Msg)
	return connect.NewResponse(&pb.RestoreResponse{}), nil
}

// asks runs a command with the node.
func (a *asking) asks(t *testing.T, args ...string) (printed string, err error) {
	t.Helper()
	calls := http.NewServeMux()
	calls.Handle(api.NewCellServiceHandler(a))
	node := httptest.NewUnstartedServer(calls)
	node.Config.Protocols = new(http.Protocols)
	node.Config.Protocols.SetUnencryptedHTTP2(true)
	node.Start()
	t.Cleanup(node.Close)
	var out bytes.Buffer
	c := newRoot()
	c.SetArgs(slices.Insert(args, len(args)-1, "--server", node.URL))
	c.SetOut(&out)
	c.SetErr(new(bytes.Buffer))
	err = c.Execute()
	return out.String(), err
}

// A shell takes what is before the tab, and shows what is behind it.
func TestCompletedCheckpoint(t *testing.T) {
	printed, err := new(asking).asks(t, "__complete", "cell", "restore", "")
	if err != nil || !strings.HasPrefix(printed, "3f3f3f3f3f3f\tteam/one, ") {
		t.Errorf("%q, %v", printed, err)
	}
}

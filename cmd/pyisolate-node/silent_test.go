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

// partial answers as a node does whose cluster has one more, which is silent.
type partial struct {
	api.UnimplementedCellServiceHandler
}

func (partial) List(context.Context, *connect.Request[pb.ListCellsRequest]) (*connect.Response[pb.ListCellsResponse], error) {
	return connect.NewResponse(&pb.ListCellsResponse{Silent: []string{"n9"}}), nil
}

func (partial) Stats(context.Context, *connect.Request[pb.StatsRequest]) (*connect.Response[pb.StatsResponse], error) {
	return connect.NewResponse(&pb.StatsResponse{Silent: []string{"n9"}}), nil
}

func (partial) ListCheckpoints(context.Context, *connect.Request[pb.ListCheckpointsRequest]) (*connect.Response[pb.ListCheckpointsResponse], error) {
	return connect.NewResponse(&pb.ListCheckpointsResponse{Silent: []string{"n9"}}), nil
}

// What is not whole says so, also with --json.
func TestSilentNodesAreNamed(t *testing.T) {
	calls := http.NewServeMux()
	calls.Handle(api.NewCellServiceHandler(partial{}))
	node := httptest.NewUnstartedServer(calls)
	node.Config.Protocols = new(http.Protocols)
	node.Config.Protocols.SetUnencryptedHTTP2(true)
	node.Start()
	t.Cleanup(node.Close)
	for _, command := range []string{"cell ls", "cell stats", "cell checkpoints", "top --once"} {
		for _, flags := range [][]string{nil, {"--json"}} {
			var out, said bytes.Buffer
			c := newRoot()
			c.SetArgs(slices.Concat(strings.Fields(command), flags, []string{"--server", node.URL}))
			c.SetOut(&out)
			c.SetErr(&said)
			if err := c.Execute(); err != nil {
				t.Fatalf("%s %v: %v, %s", command, flags, err, said.String())
			}
			told := said.String()
			if command == "top --once" && flags == nil {
				told = out.String() // on the table itself
			}
			if !strings.Contains(told, "no answer from n9") {
				t.Errorf("%s %v: %q, and %q", command, flags, out.String(), said.String())
			}
			if command == "cell stats" && flags != nil && !strings.Contains(out.String(), `"silent":["n9"]`) {
				t.Errorf("the sum is %s", out.String())
			}
		}
	}
}

package telemetry_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/telemetry/trace"
	"github.com/pyisolate/pyisolate/telemetry/trace/tracetest"
)

// One trace leads from the client through API and actor into the operation, and to what the
// guest asks for meanwhile: over gRPC as over HTTP.
func TestOneTrace(t *testing.T) {
	collector := tracetest.New(t)
	tracer, err := trace.New(t.Context(), trace.Config{Endpoint: collector.URL})
	must(t, err)
	n := newNode(t, tracer)
	n.put("web", "capabilities: {clock: {}}")
	n.spawn("acme", "c", "web")
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.socket)
	}}
	defer transport.CloseIdleConnections()
	ids := map[string]string{"grpc": strings.Repeat("a", 32), "json": strings.Repeat("b", 32)}
	for name, protocol := range map[string]connect.ClientOption{"grpc": connect.WithGRPC(), "json": connect.WithProtoJSON()} {
		r := connect.NewRequest(&pb.ExecRequest{Tenant: "acme", Name: "c", Code: "request clock now"})
		r.Header().Set("traceparent", "00-"+ids[name]+"-b7ad6b7169203331-01")
		_, err := api.NewCellServiceClient(&http.Client{Transport: transport}, "http://node", protocol).Exec(t.Context(), r)
		must(t, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	must(t, tracer.Close(ctx))
	for name, id := range ids {
		t.Run(name, func(t *testing.T) {
			parent := "b7ad6b7169203331"
			for _, step := range []string{"/pyisolate.v1.CellService/Exec", "actor.exec", "cell.exec", "cell.request"} {
				s, ok := collector.Find(id, step)
				if !ok || s.Parent != parent {
					t.Errorf("%s: %+v, and not within %s", step, s, parent)
				}
				parent = s.ID
			}
			request, _ := collector.Find(id, "cell.request")
			if request.Texts["pyisolate.capability"] != "clock" || request.Texts["pyisolate.cell"] != "c" {
				t.Errorf("texts %v", request.Texts)
			}
		})
	}
	if text := n.scrape(openMetrics); !strings.Contains(text, `# {trace_id="`+ids["grpc"]+`"}`) && !strings.Contains(text, `# {trace_id="`+ids["json"]+`"}`) {
		t.Error("no exemplar of an operation names its trace")
	}
}

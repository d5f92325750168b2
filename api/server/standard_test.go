package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/policystore"
)

// plainClient speaks HTTP over the node's socket, in version 2 or in version 1.
func (n *node) plainClient(t testing.TB, second bool) *http.Client {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(!second)
	protocols.SetUnencryptedHTTP2(second)
	transport := &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// What grpcurl does: list the services, and describe a message.
func TestReflection(t *testing.T) {
	n := newNode(t)
	stream := grpcreflect.NewClient(n.plainClient(t, true), "http://node", connect.WithGRPC()).NewStream(t.Context())
	defer func() { _, _ = stream.Close() }()
	services, err := stream.ListServices()
	must(t, err)
	for _, want := range []string{"pyisolate.v1.PolicyService", "pyisolate.v1.CellService", "pyisolate.v1.NodeService", "pyisolate.v1.ClusterService", "grpc.health.v1.Health"} {
		if !slices.Contains(services, protoreflect.FullName(want)) {
			t.Errorf("%s is not listed: %v", want, services)
		}
	}
	files, err := stream.FileContainingSymbol("pyisolate.v1.SpawnRequest")
	must(t, err)
	var fields []string
	for _, f := range files {
		for _, m := range f.GetMessageType() {
			if m.GetName() == "SpawnRequest" {
				for _, field := range m.GetField() {
					fields = append(fields, field.GetName())
				}
			}
		}
	}
	if !slices.Contains(fields, "allowed_imports") {
		t.Errorf("fields of SpawnRequest: %v", fields)
	}
}

// Health is told to whoever asks, and that a node ends.
func TestHealth(t *testing.T) {
	n := newNode(t)
	s := httptest.NewServer(n.server.Handler())
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	check := func(service string) (int, string) {
		answer, err := http.Post(s.URL+"/grpc.health.v1.Health/Check", "application/json", strings.NewReader(`{"service":"`+service+`"}`))
		must(t, err)
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		return answer.StatusCode, string(text)
	}
	if status, text := check(""); status != http.StatusOK || !strings.Contains(text, "SERVING") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := check("pyisolate.v1.CellService"); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := check("other"); status != http.StatusNotFound {
		t.Errorf("another service: %d", status)
	}
	must(t, n.server.Close(t.Context()))
	answer, err := n.server.Check(t.Context(), &grpchealth.CheckRequest{})
	if err != nil || answer.Status != grpchealth.StatusNotServing {
		t.Errorf("after the end: %v, %v", answer, err)
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	n := newNode(t)
	c := n.plainClient(t, false)
	answer, err := c.Get("http://node/openapi.json")
	must(t, err)
	defer func() { _ = answer.Body.Close() }()
	var d struct{ OpenAPI string }
	if err := json.NewDecoder(answer.Body).Decode(&d); err != nil || d.OpenAPI != "3.1.0" || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, %v, %v", d.OpenAPI, err, answer.Header)
	}
	refused, err := c.Post("http://node/openapi.json", "text/plain", nil)
	must(t, err)
	defer func() { _ = refused.Body.Close() }()
	if refused.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("post: %s", refused.Status)
	}
}

// Pages have rules of their own.
func TestPages(t *testing.T) {
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	n := newNode(t, func(c *server.Config) {
		c.Extra = map[string]server.Page{
			"/healthz": {Handler: says("fine")}, "/console/": {Handler: says("console")}, "/console/deep/": {Handler: says("deep")},
			"/metrics":      {Handler: says("metrics"), Role: policystore.Viewer, Everywhere: true},
			"/debug/pprof/": {Handler: says("profile"), Role: policystore.Admin, Local: true, Long: true},
		}
	})
	s := httptest.NewServer(n.server.Handler())
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	secret := func(role, tenant string) string {
		made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: role, Role: role, Tenant: tenant}))
		must(t, err)
		return made.Msg.GetSecret()
	}
	viewer, admin, bound := secret("viewer", ""), secret("admin", ""), secret("admin", "a")
	for _, c := range []struct {
		path, token string
		local       bool
		want        int
		says        string
	}{
		{path: "/healthz", want: 200, says: "fine"},
		{path: "/healthz/x", want: 404},
		{path: "/console/", want: 200, says: "console"},
		{path: "/console/a/b.js", want: 200, says: "console"},
		{path: "/console/deep/b.js", want: 200, says: "deep"},
		{path: "/console", want: 404},
		{path: "/metrics", want: 401},
		{path: "/metrics", token: "nonsense", want: 401},
		{path: "/metrics", token: viewer, want: 200, says: "metrics"},
		{path: "/metrics", token: bound, want: 403},
		{path: "/debug/pprof/heap", token: admin, want: 403},
		{path: "/debug/pprof/heap", local: true, want: 200, says: "profile"},
		{path: "/metrics", local: true, want: 200, says: "metrics"},
		{path: "/other", token: admin, want: 404},
		{path: "/pyisolate.v1.CellService/List", token: admin, want: 404}, // no POST
	} {
		caller, base := http.DefaultClient, s.URL
		if c.local {
			caller, base = n.plainClient(t, false), "http://node"
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+c.path, nil)
		must(t, err)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		answer, err := caller.Do(r)
		must(t, err)
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != c.want || c.says != "" && string(text) != c.says {
			t.Errorf("%s with %.6q, local %t: %d %q", c.path, c.token, c.local, answer.StatusCode, text)
		}
	}
}

func TestPagesThatCannotBe(t *testing.T) {
	for _, path := range []string{"", "/", "metrics", "/openapi.json", "/pyisolate.v1.CellService/List", "/grpc.health.v1.Health/"} {
		if err := server.ValidPages(map[string]server.Page{path: {Handler: http.NotFoundHandler()}}); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
	if err := server.ValidPages(map[string]server.Page{"/x": {}}); err == nil {
		t.Error("a page without a handler is taken")
	}
}

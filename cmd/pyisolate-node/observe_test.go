package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"connectrpc.com/connect"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/telemetry/events"
	"github.com/pyisolate/pyisolate/telemetry/trace/tracetest"
	"github.com/pyisolate/pyisolate/telemetry/webhook"
)

// hooked is a webhook's receiver.
type hooked struct {
	mu    sync.Mutex
	kinds []events.Kind
}

func (h *hooked) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var b webhook.Body
	_ = json.NewDecoder(r.Body).Decode(&b)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range b.Events {
		h.kinds = append(h.kinds, e.Kind)
	}
}

func (h *hooked) heard(k events.Kind) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.kinds, k)
}

// A node that serves, with a real Python, is seen in all four ways.
func TestServeIsObserved(t *testing.T) {
	dir, collector, receiver := t.TempDir(), tracetest.New(t), &hooked{}
	alerts := httptest.NewServer(receiver)
	defer alerts.Close()
	hooks := filepath.Join(dir, "hooks.yml")
	if err := os.WriteFile(hooks, fmt.Appendf(nil, "- {url: %q, inner: true, kinds: [DENIED, NODE_DRAINING]}\n", alerts.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	node, _ := startServe(t, dir, "PYISOLATE_WEBHOOKS="+hooks, "PYISOLATE_TRACE_ENDPOINT="+collector.URL)
	socket := filepath.Join(dir, "s")
	c, err := client.New(client.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := useCell(t, c)
	await.That(t, "the webhook hears of the denial", func() bool { return receiver.heard(events.Denied) })
	scraped(t, socket)
	_ = node.Process.Signal(syscall.SIGTERM)
	if err := node.Wait(); err != nil {
		t.Errorf("serve: %v", err)
	}
	if !receiver.heard(events.NodeDraining) {
		t.Error("the webhook does not hear that the node drains")
	}
	exec, _ := collector.Find(id, "cell.exec")
	request, found := collector.Find(id, "cell.request")
	if !found || request.Parent != exec.ID || exec.Texts["pyisolate.cell"] != "c" {
		t.Errorf("the trace has %+v and %+v", exec, request)
	}
}

// useCell has a guest measure, ask, and try what it may not, and returns the id of the trace of
// its asking.
func useCell(t *testing.T, c *client.Client) (trace string) {
	t.Helper()
	_, err := c.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "p", Text: []byte("version: 1.0\nsandboxes:\n  main:\n    capabilities: {clock: {}}\n")}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Tenant: "acme", Name: "c", Policy: &pb.PolicyRef{Name: "p"}})); err != nil {
		t.Fatal(err)
	}
	trace = strings.Repeat("c", 32)
	r := connect.NewRequest(&pb.ExecRequest{Tenant: "acme", Name: "c", Code: `metric("load", 0.5); metric("x\n# HELP forged y\n\x1b[2J\"} 1", 2); request("clock", "now", {}); import pyisolate_guest; post(pyisolate_guest.trace())`})
	r.Header().Set("traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	if _, err := c.Cells.Exec(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	posted, err := c.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Tenant: "acme", Name: "c"}))
	if err != nil {
		t.Fatal(err)
	}
	if own := posted.Msg.GetItems()[0].GetPost().GetJson(); !strings.HasPrefix(own, `"00-`+trace+"-") || strings.Contains(own, "b7ad6b7169203331") {
		t.Errorf("the guest's place in the trace is %s", own)
	}
	if _, err := c.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Tenant: "acme", Name: "c", Code: `open("/etc/shadow")`})); err == nil {
		t.Error("the guest opened it")
	}
	return trace
}

// scraped reads the node's metrics with Prometheus' own parser.
func scraped(t *testing.T, socket string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	answer, err := (&http.Client{Transport: transport}).Get("http://node/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range families {
		if strings.HasPrefix(name, "pyisolate_") && !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("%s is not described", name)
		}
	}
	if families["forged"] != nil {
		t.Error("a guest has forged a metric")
	}
	for _, name := range []string{"pyisolate_guest_metric", "pyisolate_denials_total", "pyisolate_operation_duration_seconds", "pyisolate_kernel_cpu_seconds_total",
		"pyisolate_notify_calls_total", "pyisolate_queue_messages", "pyisolate_policy_version", "pyisolate_hosts", "pyisolate_broker_frames_total"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// Where the node exports no spans a guest sees the client's trace as it is, and nothing of it in
// the next call.
func TestGuestSeesTheTrace(t *testing.T) {
	dir := t.TempDir()
	startServe(t, dir)
	c, err := client.New(client.Config{Socket: filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err = c.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Tenant: "acme", Name: "c"})); err != nil {
		t.Fatal(err)
	}
	const parent = "00-cccccccccccccccccccccccccccccccc-b7ad6b7169203331-01"
	for _, k := range []struct{ name, sent, want string }{
		{"traced", parent, `"` + parent + `"`},
		{"not traced", "", "null"},
		{"traced again", parent, `"` + parent + `"`},
		{"not a traceparent", "00-" + strings.Repeat("x", 52), "null"},
	} {
		r := connect.NewRequest(&pb.ExecRequest{Tenant: "acme", Name: "c", Code: "import pyisolate_guest; post(pyisolate_guest.trace())"})
		if k.sent != "" {
			r.Header().Set("traceparent", k.sent)
		}
		if _, err := c.Cells.Exec(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		got, err := c.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Tenant: "acme", Name: "c"}))
		if err != nil {
			t.Fatal(err)
		}
		if got := got.Msg.GetItems()[0].GetPost().GetJson(); got != k.want {
			t.Errorf("%s: the guest sees %s, want %s", k.name, got, k.want)
		}
	}
}

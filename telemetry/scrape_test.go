package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// scrape gets /metrics as Prometheus does, in a format.
func (n *node) scrape(accept string) string {
	n.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.socket)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, "http://node/metrics", nil)
	must(n.t, err)
	r.Header.Set("Accept", accept)
	answer, err := transport.RoundTrip(r)
	must(n.t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	must(n.t, err)
	if answer.StatusCode != http.StatusOK {
		n.t.Fatalf("status %s: %s", answer.Status, text)
	}
	return string(text)
}

const plainText, openMetrics = "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"

func parse(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	must(t, err)
	return families
}

// value sums what a family has under labels.
func value(families map[string]*dto.MetricFamily, name string, labels ...string) (sum float64) {
	for _, m := range families[name].GetMetric() {
		has := map[string]string{}
		for _, l := range m.GetLabel() {
			has[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && has[labels[i]] == labels[i+1]
		}
		if fits {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// busy is a node on which all that is counted has happened.
func busy(t *testing.T) *node {
	n := newNode(t, nil)
	n.put("web", "imports: [math]\n    capabilities: {clock: {}}")
	n.spawn("acme", "c", "web")
	for _, code := range []string{"post 1", "measure load 0.5", "request clock now", "request nothing now", "deny fs open /x", "exceed MemoryExceeded", "raise x"} {
		_ = n.exec("acme", "c", code)
	}
	_, err := n.Cells.Send(t.Context(), connect.NewRequest(&pb.SendRequest{Tenant: "acme", Name: "c", Value: &pb.Value{Kind: &pb.Value_Raw{Raw: []byte("four")}}}))
	must(t, err)
	_, err = n.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Tenant: "acme", Name: "c"}))
	must(t, err)
	_ = n.exec("acme", "nobody", "")
	n.put("web", "imports: [json]\n    capabilities: {clock: {}}")
	n.happened(events.PolicyHotload)
	await.That(t, "the metrics have version 2", func() bool { // whose watching is another's than the cells'
		all, _, _, _ := n.Events.Since(0)
		return slices.ContainsFunc(all, func(e events.Event) bool { return e.Kind == events.PolicyPut && e.Version == 2 })
	})
	n.spawn("other", "d", "web")
	_ = n.exec("other", "d", "crash")
	n.happened(events.HostEnded)
	n.Replicated(telemetry.Replication{Tenant: "acme", Cell: "c", ID: "a", Wanted: 1, Copies: 1})
	n.Replicated(telemetry.Replication{Tenant: "acme", Cell: "c", ID: "b", Wanted: 2, Copies: 1, Err: errors.New("no room")})
	n.Migrated(telemetry.Migration{Tenant: "acme", Cell: "c", From: "n1", To: "n2", Size: 4096, Paused: time.Millisecond, Took: time.Second})
	n.Metrics.Alerted("ops", "delivered", 1)
	n.Checkpointed(telemetry.Checkpoint{Tenant: "acme", Cell: "c", ID: "1", Size: 4096, Why: "request", Took: time.Millisecond})
	return n
}

// A scrape of a real node: each metric is there, has been counted, is described in the docs, and
// the linter of Prometheus likes it.
func TestScrape(t *testing.T) {
	n := busy(t)
	text := n.scrape(plainText)
	families := parse(t, text)
	for _, c := range []struct {
		name   string
		least  float64
		labels []string
	}{
		{"pyisolate_build_info", 1, []string{"version", "test"}},
		{"pyisolate_cell_spawn_duration_seconds", 2, []string{"outcome", "ok"}},
		{"pyisolate_operation_duration_seconds", 1, []string{"op", "exec", "outcome", "ok"}},
		{"pyisolate_operation_duration_seconds", 1, []string{"op", "exec", "outcome", "GuestError"}},
		{"pyisolate_operation_wait_seconds", 7, []string{"op", "exec"}},
		{"pyisolate_quota_kills_total", 1, []string{"limit", "memory"}},
		{"pyisolate_denials_total", 1, []string{"capability", "fs", "layer", "guest"}},
		{"pyisolate_denials_total", 1, []string{"capability", "other", "layer", "broker"}},
		{"pyisolate_capability_request_duration_seconds", 1, []string{"capability", "clock", "outcome", "OK"}},
		{"pyisolate_capability_bytes_total", 1, nil},
		{"pyisolate_policy_version", 2, []string{"policy", "web"}},
		{"pyisolate_policy_reload_duration_seconds", 1, []string{"outcome", "ok"}},
		{"pyisolate_host_starts_total", 2, []string{"outcome", "ok"}},
		{"pyisolate_host_ends_total", 1, []string{"reason", "died"}},
		{"pyisolate_hosts", 1, nil},
		{"pyisolate_cells", 1, nil},
		{"pyisolate_broker_frames_total", 1, []string{"direction", "in"}},
		{"pyisolate_broker_bytes_total", 1, []string{"direction", "out"}},
		{"pyisolate_cell_items_total", 1, []string{"direction", "in"}},
		{"pyisolate_cell_items_bytes_total", 4, []string{"direction", "in"}},
		{"pyisolate_cell_items_total", 1, []string{"direction", "out"}},
		{"pyisolate_actors", 1, []string{"state", "live"}},
		{"pyisolate_events_total", 1, []string{"kind", "MEM_KILL"}},
		{"pyisolate_api_request_duration_seconds", 1, []string{"procedure", "/pyisolate.v1.CellService/Exec", "code", "ok"}},
		{"pyisolate_api_request_duration_seconds", 1, []string{"procedure", "/pyisolate.v1.CellService/Exec", "code", "not_found"}},
		{"pyisolate_guest_metric", 0.5, []string{"tenant", "acme", "cell", "c", "name", "load"}},
		{"pyisolate_guest_samples_total", 1, []string{"outcome", "kept"}},
		{"pyisolate_checkpoint_duration_seconds", 1, []string{"op", "save", "outcome", "ok"}},
		{"pyisolate_checkpoint_bytes_total", 4096, []string{"op", "save"}},
		{"pyisolate_migrations_total", 1, []string{"outcome", "ok"}},
		{"pyisolate_migration_pause_seconds", 1, nil},
		{"pyisolate_checkpoint_replications_total", 1, []string{"outcome", "full"}},
		{"pyisolate_checkpoint_replications_total", 1, []string{"outcome", "short"}},
		{"go_goroutines", 1, nil},
		{"process_resident_memory_bytes", 1, nil},
	} {
		if got := value(families, c.name, c.labels...); got < c.least {
			t.Errorf("%s%v is %v, at least %v expected", c.name, c.labels, got, c.least)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Every metric of ours is described, and what is described is a metric.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/observability.md")
	must(t, err)
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile("(?m)^\\| `(pyisolate_[a-z_]+)`").FindAllStringSubmatch(string(page), -1) {
		documented[name[1]] = true
	}
	families := parse(t, busy(t).scrape(plainText))
	for name, f := range families {
		switch {
		case !strings.HasPrefix(name, "pyisolate_"):
		case !documented[name]:
			t.Errorf("%s is not described in docs/observability.md", name)
		case f.GetHelp() == "" || f.Type == nil:
			t.Errorf("%s has no help or no type", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("docs/observability.md describes %s, which is no metric", name)
	}
	for _, k := range events.Kinds() {
		if !strings.Contains(string(page), fmt.Sprintf("| `%s` |", k)) {
			t.Errorf("the event %s is not described in docs/observability.md", k)
		}
	}
}

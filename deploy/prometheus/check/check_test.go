package check

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

var promQL = parser.NewParser(parser.Options{})

func rulesOf(t *testing.T, file string) (all []rulefmt.Rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile(file, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) == 0 {
		t.Fatal(file + " has no rules")
	}
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// documented are the metrics of the documentation, which a test of package telemetry holds to the
// registry; with the series that they have, and what the rules record.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	page, err := os.ReadFile("../../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"up": true, "process_resident_memory_bytes": true, "process_start_time_seconds": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `(pyisolate_[a-z_]+)` \\| (\\w+)").FindAllStringSubmatch(string(page), -1) {
		known[m[1]] = m[2] != "histogram"
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			known[m[1]+suffix] = m[2] == "histogram"
		}
	}
	for _, r := range rulesOf(t, "../rules.yml") {
		known[r.Record] = true
	}
	return known
}

// selects reports the metrics of an expression that are not known.
func selects(t *testing.T, where, expr string, known map[string]bool) {
	t.Helper()
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && !known[v.Name] {
			t.Errorf("%s: there is no series %s", where, v.Name)
		}
		return nil
	})
}

func TestRules(t *testing.T) {
	known := documented(t)
	for _, file := range []string{"../rules.yml", "../alerts.yml"} {
		for _, r := range rulesOf(t, file) {
			selects(t, r.Record+r.Alert, r.Expr, known)
			if r.Alert != "" && (r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "") {
				t.Errorf("%s lacks a severity, a summary or a description", r.Alert)
			}
		}
	}
}

// The documentation says of each alert what to do, and of none that is not there.
func TestAlertsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Pyisolate[A-Za-z]+)`").FindAllStringSubmatch(string(page), -1) {
		described[m[1]] = true
	}
	for _, r := range rulesOf(t, "../alerts.yml") {
		if !described[r.Alert] {
			t.Errorf("%s is not described", r.Alert)
		}
		delete(described, r.Alert)
	}
	for name := range described {
		t.Errorf("%s is described, and there is none", name)
	}
}

// at30 has the series of an expression after 30 minutes.
func at30(t *testing.T, series, expr string) promql.Matrix {
	t.Helper()
	return evaluate(t, series, expr, 30*time.Minute, 30*time.Minute)
}

// The recording rules compute what they say.
func TestRecorded(t *testing.T) {
	series := `
		pyisolate_operation_duration_seconds_bucket{op="exec", outcome="ok", le="0.001"} 0+90x60
		pyisolate_operation_duration_seconds_bucket{op="exec", outcome="ok", le="0.01"} 0+100x60
		pyisolate_operation_duration_seconds_bucket{op="exec", outcome="ok", le="+Inf"} 0+100x60
		pyisolate_cell_spawn_duration_seconds_bucket{backend="process", outcome="ok", le="1"} 0+1x60
		pyisolate_cell_spawn_duration_seconds_bucket{backend="process", outcome="ok", le="+Inf"} 0+1x60
		pyisolate_api_request_duration_seconds_bucket{procedure="/x", code="ok", le="1"} 0+1x60
		pyisolate_api_request_duration_seconds_bucket{procedure="/x", code="ok", le="+Inf"} 0+1x60
		pyisolate_api_request_duration_seconds_count{procedure="/x", code="ok"} 0+3x60
		pyisolate_api_request_duration_seconds_count{procedure="/x", code="internal"} 0+1x60
		pyisolate_pool_hits_total 0+3x60
		pyisolate_pool_misses_total 0+1x60
`
	for _, r := range rulesOf(t, "../rules.yml") {
		if n := len(at30(t, series, r.Expr)); n != 1 {
			t.Errorf("%s has %d series", r.Record, n)
		}
	}
	for expr, record := range map[string]string{"== 0.25": "instance:pyisolate_api_faults:ratio", "== 0.75": "instance:pyisolate_pool_hits:ratio"} {
		for _, r := range rulesOf(t, "../rules.yml") {
			if r.Record == record && len(at30(t, series, "("+r.Expr+") "+expr)) != 1 {
				t.Errorf("%s is not %s", record, expr)
			}
		}
	}
}

// panel is what is looked at of one.
type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Expr       string            `json:"expr"`
		Datasource map[string]string `json:"datasource"`
	} `json:"targets"`
}

// Each query of the dashboard is one, of series that there are; no two panels are in one place.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../grafana/pyisolate.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title, UID string
		Panels     []panel
		Templating struct {
			List []struct {
				Name       string `json:"name"`
				Definition string `json:"definition"`
			} `json:"list"`
		} `json:"templating"`
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	known := documented(t)
	variables := []string{"$__rate_interval", "5m"}
	for _, v := range board.Templating.List {
		variables = append(variables, "$"+v.Name, "x")
		if m := regexp.MustCompile(`^label_values\((.*), \w+\)$`).FindStringSubmatch(v.Definition); m != nil {
			selects(t, "variable "+v.Name, strings.NewReplacer("$job", "x", "$instance", "x").Replace(m[1]), known)
		}
	}
	fill := strings.NewReplacer(variables...)
	ids, queries := map[int]bool{}, 0
	for i, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: its id, title or place", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, o := range board.Panels[:i] {
			if a, b := p.GridPos, o.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, o.Title)
			}
		}
		for _, q := range p.Targets {
			queries++
			expr := fill.Replace(q.Expr)
			if strings.Contains(expr, "$") || q.Datasource["uid"] != "${datasource}" {
				t.Errorf("panel %q: a variable that is none, or a fixed data source: %s", p.Title, expr)
			}
			selects(t, "panel "+p.Title, expr, known)
		}
	}
	if queries < 20 || board.UID == "" {
		t.Errorf("%d queries", queries)
	}
}

package check

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// well are the series of a node on which nothing is wrong: of an hour, a sample a minute. N is the
// node, here and below.
const well = `
	up{N} 1x60
	process_start_time_seconds{N} -3600x60
	pyisolate_host_ends_total{N, backend="process", reason="idle"} 0+1x60
	pyisolate_host_ends_total{N, backend="process", reason="died"} 0x60
	pyisolate_host_starts_total{N, backend="process", outcome="ok"} 0+1x60
	pyisolate_host_starts_total{N, backend="process", outcome="Unknown"} 0x60
	pyisolate_denials_total{N, capability="fs", layer="guest"} 0+600x60
	pyisolate_denials_total{N, capability="fs", layer="kernel"} 0x60
	pyisolate_events_left_out_total{N, kind="DENIED"} 0x60
	pyisolate_events_total{N, kind="POLICY_REFUSED"} 0+1x60
	pyisolate_cells_behind_policy{N} 0x60
	pyisolate_events_total{N, kind="BROKER_ERROR"} 0x60
	backend:pyisolate_cell_spawn_duration_seconds:p99{backend="process"} 0.2x60
	pyisolate_dead_letters_total{N, reason="no credit"} 0x60
	pyisolate_dead_letters_total{N, reason="no such cell"} 0+60x60
	instance:pyisolate_api_faults:ratio{N} 0.001x60
	pyisolate_webhook_events_total{N, webhook="pager", outcome="delivered"} 0+1x60
	pyisolate_webhook_events_total{N, webhook="pager", outcome="failed"} 0x60`

// situations are series for which an alert fires, and those that are no reason for it.
var situations = []struct {
	alert, when string
	fires       bool
	series      string
}{
	{"PyisolateDown", "it does not answer", true, `up{N} 0x60`},
	{"PyisolateHostsDie", "now and then", true, `pyisolate_host_ends_total{N, backend="process", reason="died"} 0+1x60`},
	{"PyisolateHostsDie", "all at once", true, `pyisolate_host_ends_total{N, backend="process", reason="died"} 0x10 4x50`},
	{"PyisolateHostsDie", "three", false, `pyisolate_host_ends_total{N, backend="process", reason="died"} 7x10 10x50`},
	{"PyisolateHostsDie", "some do not start", true, `
		pyisolate_host_starts_total{N, backend="process", outcome="ok"} 0+5x60
		pyisolate_host_starts_total{N, backend="process", outcome="Unknown"} 0+1x60`},
	{"PyisolateHostsDoNotStart", "again and again", true, `pyisolate_host_starts_total{N, backend="process", outcome="Unknown"} 0+1x60`},
	{"PyisolateHostsDoNotStart", "no more", true, `
		pyisolate_host_starts_total{N, backend="process", outcome="ok"} 0+1x20 20x40
		pyisolate_host_starts_total{N, backend="process", outcome="Unknown"} 0x20 0+1x40`},
	{"PyisolateHostsDoNotStart", "one, and nobody tries again", false, `
		pyisolate_host_starts_total{N, backend="process", outcome="ok"} 0x60
		pyisolate_host_starts_total{N, backend="process", outcome="Unknown"} 0x20 1x40`},
	{"PyisolateHostsDoNotStart", "some among others that do", false, `
		pyisolate_host_starts_total{N, backend="process", outcome="ok"} 0+1x60
		pyisolate_host_starts_total{N, backend="process", outcome="Unknown"} 0x20 9x40`},
	{"PyisolateHostsDoNotStart", "some, until one does", false, `
		pyisolate_host_starts_total{N, backend="process", outcome="ok"} 0x22 1x38
		pyisolate_host_starts_total{N, backend="process", outcome="Unknown"} 0x20 9x40`},
	{"PyisolateHostsDoNotStart", "those of the other backend do", true, `
		pyisolate_host_starts_total{N, backend="subinterpreter", outcome="ok"} 0+1x60
		pyisolate_host_starts_total{N, backend="process", outcome="Unknown"} 0+1x60`},
	{"PyisolateDenialsByKernel", "two a second", true, `pyisolate_denials_total{N, capability="fs", layer="kernel"} 0+120x60`},
	{"PyisolateDenialFlood", "some are left out", true, `pyisolate_events_left_out_total{N, kind="DENIED"} 0+10x60`},
	{"PyisolateSlowSpawns", "they take long", true, `backend:pyisolate_cell_spawn_duration_seconds:p99{backend="process"} 2.5x60`},
	{"PyisolateMessagesRefused", "some are", true, `pyisolate_dead_letters_total{N, reason="no credit"} 0+5x60`},
	{"PyisolatePolicyRefused", "once, and it stays so", true, `pyisolate_cells_behind_policy{N} 0x20 1x40`},
	{"PyisolatePolicyRefused", "for a moment", false, `pyisolate_cells_behind_policy{N} 0x20 1 0x40`},
	{"PyisolateApiErrors", "of a twentieth", true, `instance:pyisolate_api_faults:ratio{N} 0.05x60`},
	{"PyisolateWebhookFails", "always", true, `pyisolate_webhook_events_total{N, webhook="pager", outcome="failed"} 0+1x60`},
	{"PyisolateWebhookFails", "once", true, `pyisolate_webhook_events_total{N, webhook="pager", outcome="lost"} 0x10 1x50`},
	{"PyisolateWebhookFails", "before the first scrape", true, `
		process_start_time_seconds{N} _x10 570x50
		pyisolate_webhook_events_total{N, webhook="pager", outcome="failed"} _x10 3x50`},
	{"PyisolateWebhookFails", "long before the last scrapes, after a gap", false, `
		process_start_time_seconds{N} -3600x10 _x20 -3600x30
		pyisolate_webhook_events_total{N, webhook="pager", outcome="failed"} 3x10 _x20 3x30`},
	{"PyisolateBrokerErrors", "now and then", true, `pyisolate_events_total{N, kind="BROKER_ERROR"} 0+1x60`},
	{"PyisolateBrokerErrors", "once", true, `pyisolate_events_total{N, kind="BROKER_ERROR"} 0x10 1x50`},
}

// Each alert fires when it should, and not when all is well.
func TestAlerts(t *testing.T) {
	rules, tried := map[string]rulefmt.Rule{}, map[string]bool{}
	for _, r := range rulesOf(t, "../alerts.yml") {
		rules[r.Alert] = r
		if n := firing(t, well, r); n != 0 {
			t.Errorf("%s fires %d times when all is well", r.Alert, n)
		}
	}
	for _, s := range situations {
		tried[s.alert] = tried[s.alert] || s.fires
		t.Run(s.alert+"/"+s.when, func(t *testing.T) {
			want := 0
			if s.fires {
				want = 1
			}
			if n := firing(t, s.series, rules[s.alert]); n != want {
				t.Errorf("it fires %d times, not %d", n, want)
			}
		})
	}
	for name := range rules {
		if !tried[name] {
			t.Errorf("nothing tells when %s fires", name)
		}
	}
}

// firing is how many series of an alert fire in the hour: its expression has them at each minute for
// as long as the alert says.
func firing(t *testing.T, series string, r rulefmt.Rule) (n int) {
	t.Helper()
	for _, s := range evaluate(t, series, r.Expr, 0, time.Hour) {
		began, last := int64(0), int64(math.MinInt64)
		for _, p := range s.Floats {
			if last < p.T-step.Milliseconds() {
				began = p.T
			}
			if last = p.T; last-began >= time.Duration(r.For).Milliseconds() {
				n++
				break
			}
		}
	}
	return n
}

const step = time.Minute

// evaluate has the values of an expression, minute by minute.
func evaluate(t *testing.T, series, expr string, from, to time.Duration) promql.Matrix {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n"+strings.ReplaceAll(strings.TrimSpace(series), "{N", `{instance="n1", job="pyisolate"`)+"\n")
	t.Cleanup(func() { _ = storage.Close() })
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 10000)
	epoch := time.Unix(0, 0)
	q, err := engine.NewRangeQuery(t.Context(), storage, nil, expr, epoch.Add(from), epoch.Add(to), step)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close) // what it has found goes with it
	found, err := q.Exec(t.Context()).Matrix()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

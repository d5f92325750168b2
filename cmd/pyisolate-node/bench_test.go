package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// benchLines runs the command and returns its output, a line each.
func benchLines(t *testing.T, args ...string) []string {
	t.Helper()
	var out bytes.Buffer
	c := newBench()
	c.SetOut(&out)
	c.SetArgs(args)
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestBenchJSON(t *testing.T) {
	want := []struct{ name, unit string }{{"spawn.cold", "us"}, {"kill.bytecode", "us"},
		{"policy.compile", "ms"}, {"policy.commit", "ms"}, {"api.call", "us"}, {"api.json", "us"}}
	args := []string{"--json", "--samples", "3"}
	for _, row := range want {
		args = append(args, row.name)
	}
	lines := benchLines(t, args...)
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %q", len(lines), len(want), lines)
	}
	for i, line := range lines {
		var r benchResult
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if r.Name != want[i].name || r.Unit != want[i].unit || r.N != 3 || r.P50 <= 0 || r.P99 < r.P50 {
			t.Errorf("%s: the figures are not those of 3 samples", line)
		}
		if (r.Peer == "") != (r.Note != "") || (r.Peer == "") != (r.Ratio == 0) {
			t.Errorf("%s: neither a peer with its ratio nor a note why there is none", line)
		}
	}
}

// What a node carries is beside what carries as much without it.
func TestBenchOfANodeHasPeers(t *testing.T) {
	names := []string{"msg.guest", "msg.batch", "api.call", "api.calls"}
	for i, line := range benchLines(t, append([]string{"--json", "--samples", "3"}, names...)...) {
		var r benchResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if strings.Contains(r.Note, "no peer:") {
			t.Skip(r.Note)
		}
		if r.Name != names[i] || r.Peer == "" || r.PeerP50 <= 0 || r.Ratio <= 0 {
			t.Errorf("%s: there is no peer", line)
		}
		if r.BarMet == nil || r.BarRatio <= 0 || r.BarRatio > 1 && !*r.BarMet || r.BarRatio < 1 && *r.BarMet {
			t.Errorf("%s: it is not said how far its bar is", line)
		}
	}
}

func TestBenchTable(t *testing.T) {
	lines := benchLines(t, "--samples", "3", "spawn.cold")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "ROW ") || !strings.HasPrefix(lines[1], "spawn.cold ") {
		t.Fatalf("not a head and a row: %q", lines)
	}
	if head, row := strings.Index(lines[0], "UNIT"), strings.Index(lines[1], "us "); head != row {
		t.Errorf("UNIT is at %d and its value at %d:\n%s", head, row, strings.Join(lines, "\n"))
	}
}

func TestBenchRefusesUnknownRow(t *testing.T) {
	c := newBench()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs([]string{"spawn.lukewarm"})
	err := c.Execute()
	if err == nil || !strings.Contains(err.Error(), "spawn.warm") || statusOf(err) != statusUsage {
		t.Errorf("an unknown row: %v, status %d", err, statusOf(err))
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[99-i] = float64(i)
	}
	for _, c := range []struct {
		name    string
		samples []float64
		q, want float64
	}{{"none", nil, 0.5, 0}, {"one", []float64{7}, 0.99, 7}, {"median", hundred, 0.5, 50}, {"worst", hundred, 0.99, 99},
		{"first", hundred, 0, 0}, {"last", hundred, 1, 99}} {
		if got := quantile(c.samples, c.q); got != c.want {
			t.Errorf("%s: %g, want %g", c.name, got, c.want)
		}
	}
}

func TestBarReached(t *testing.T) {
	bar := benchBar{p50: 10, ratio: 2}
	for _, c := range []struct {
		name string
		bar  benchBar
		row  benchRow
		r    benchResult
		want float64
	}{
		{"both", bar, benchRow{}, benchResult{P50: 10, Ratio: 2}, 1},
		{"slow", bar, benchRow{}, benchResult{P50: 20, Ratio: 2}, 0.5},
		{"fast", bar, benchRow{}, benchResult{P50: 5, Ratio: 3}, 1.5},
		{"worse than the peer", bar, benchRow{}, benchResult{P50: 9, Ratio: 1}, 0.5},
		{"no peer", bar, benchRow{}, benchResult{P50: 9}, 0},
		{"unlucky", benchBar{p50: 10, p99: 20}, benchRow{}, benchResult{P50: 5, P99: 40}, 0.5},
		{"a throughput below", benchBar{p50: 5}, benchRow{more: true}, benchResult{P50: 4}, 0.8},
		{"far worse than the peer", benchBar{times: 1.25}, benchRow{}, benchResult{Ratio: 0.4}, 0.5},
		{"as bad as it may be", benchBar{times: 1.25}, benchRow{}, benchResult{Ratio: 0.8}, 1},
	} {
		if got := c.bar.reached(c.row, c.r); got != c.want {
			t.Errorf("%s: %g, want %g", c.name, got, c.want)
		}
	}
}

func TestBarText(t *testing.T) {
	for want, c := range map[string]struct {
		bar  benchBar
		more bool
	}{
		"":                            {},
		"p50 <= 5 us, ratio >= 2":     {bar: benchBar{p50: 5, ratio: 2}},
		"p50 >= 5 us":                 {bar: benchBar{p50: 5}, more: true},
		"p99 <= 7 us":                 {bar: benchBar{p99: 7}},
		"p50 <= 1.3 times the peer's": {bar: benchBar{times: 1.3}},
	} {
		if got := c.bar.text(benchRow{unit: "us", more: c.more}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A row that cannot be measured here has no figures, and does not end the run.
func TestBenchSkips(t *testing.T) {
	row := benchRow{name: "kernel.none", unit: "us", bar: benchBar{p50: 1}, peer: freeThread,
		measure: func(context.Context, *bench, int, *benchResult) ([]float64, error) {
			return nil, missingError{"operation not permitted"}
		}}
	rows := []benchRow{row, row}
	var out, progress bytes.Buffer
	if err := new(bench).json(t.Context(), rows, &out, &progress); err != nil {
		t.Fatal(err)
	}
	const line = `{"name":"kernel.none","unit":"us","n":0,"bar":"p50 <= 1 us","note":"not measured: operation not permitted"}` + "\n"
	if got := out.String(); got != line+line {
		t.Errorf("got\n%swant twice\n%s", got, line)
	}
	out.Reset()
	if err := new(bench).table(t.Context(), rows, &out, &progress); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(strings.Split(out.String(), "\n")[1]); !slices.Equal(got[:9], []string{"kernel.none", "-", "-", "us", "0", "-", "-", "-", "-"}) {
		t.Errorf("%q", got)
	}
}

// What is measured together with its peer is compared with that.
func TestBenchMeasuredTogether(t *testing.T) {
	row := benchRow{name: "kernel.some", unit: "us", bar: benchBar{times: 1.35}, peer: freeThread,
		measure: func(_ context.Context, _ *bench, _ int, r *benchResult) ([]float64, error) {
			r.PeerP50 = 3
			return []float64{4, 4, 4}, nil
		}}
	r, err := row.run(t.Context(), new(bench))
	if err != nil || r.Peer != freeThread || r.Ratio != 0.75 || r.BarMet == nil || !*r.BarMet {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestParseParent(t *testing.T) {
	type answer struct {
		Pid, Parent int
		OK          bool
	}
	for stat, want := range map[string]answer{
		"12 (a) S 7 12":          {12, 7, true},
		"12 (a) R 1 (b c)) S 7 ": {12, 7, true},
		"12":                     {},
	} {
		var got answer
		got.Pid, got.Parent, got.OK = parseParent(stat)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", stat, diff)
		}
	}
}

func TestSumPrivate(t *testing.T) {
	got, err := sumPrivate([]byte("Rss: 90 kB\nShared_Dirty: 7 kB\nPrivate_Clean:   4 kB\nPrivate_Dirty: 12 kB\nPrivate_Hugetlb: 1 kB\n"))
	if err != nil || got != 16 {
		t.Errorf("%g, %v, want 16", got, err)
	}
	if _, err := sumPrivate([]byte("Rss: 90 kB\n")); err == nil {
		t.Error("a rollup without private fields passes")
	}
}

// TestSignificant: a ratio is never rounded away.
func TestSignificant(t *testing.T) {
	for _, c := range []struct{ v, want float64 }{
		{0, 0}, {123456.7, 123457}, {12345.678, 12345.68}, {0.456, 0.46}, {0.0987, 0.099}, {0.00466, 0.0047}, {0.0000123, 0.000012},
	} {
		if got := significant(c.v); math.Abs(got-c.want) > c.want*1e-9 {
			t.Errorf("significant(%g) = %g, not %g", c.v, got, c.want)
		}
	}
}

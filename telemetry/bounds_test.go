package telemetry

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/cell"
)

// seriesOf counts those of a metric.
func seriesOf(t testing.TB, m *Metrics, name string) int {
	t.Helper()
	n, err := testutil.GatherAndCount(m.registry, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Whatever guests and tenants make up, there are so many series and no more, and those of others
// are there all the same.
func TestGuestsMakeFewSeries(t *testing.T) {
	m := NewMetrics()
	c, cells := m.Guest("noisy", "c"), make([]*Guest, 200)
	for i := range cells {
		cells[i] = m.Guest("noisy", fmt.Sprint("cell", i))
	}
	for i := range 2000 {
		c.Set(fmt.Sprint("name", i), 1, map[string]string{fmt.Sprint("tag", i): "x"})
		cells[i%len(cells)].Set(fmt.Sprint("name", i), 1, nil)
	}
	m.Guest("quiet", "c").Set("load", 2, nil)
	if n := seriesOf(t, m, "pyisolate_guest_metric"); n != maxOfTenant+1 {
		t.Errorf("%d series", n)
	}
	c.Gone()
	if n := seriesOf(t, m, "pyisolate_guest_metric"); n != maxOfTenant+1-maxOfCell {
		t.Errorf("%d series after the end of a cell", n)
	}
	m.Guest("noisy", "d").Set("again", 1, nil)
	if n := seriesOf(t, m, "pyisolate_guest_metric"); n != maxOfTenant+2-maxOfCell {
		t.Errorf("%d series after another", n)
	}
	kept, left := testutil.ToFloat64(m.guests.kept.WithLabelValues("kept")), testutil.ToFloat64(m.guests.kept.WithLabelValues("left_out"))
	if kept+left != 4002 || left == 0 {
		t.Errorf("%v kept, %v left out", kept, left)
	}
}

// What comes after a cell's end, or from one before it of its name, is nobody's: it neither makes
// series nor takes any away.
func TestGuestsGone(t *testing.T) {
	m := NewMetrics()
	for i := range 2 * maxOfTenant {
		c := m.Guest("acme", fmt.Sprint("c", i))
		c.Set("x", 1, nil)
		c.Gone()
		c.Set("late", 1, nil)
	}
	if n := seriesOf(t, m, "pyisolate_guest_metric"); n != 0 || len(m.guests.cells) != 0 || len(m.guests.of) != 0 || m.guests.all != 0 {
		t.Errorf("%d series of cells that are gone, %+v", n, m.guests)
	}
	old := m.Guest("acme", "c")
	old.Set("x", 1, nil)
	now := m.Guest("acme", "c")
	now.Set("x", 2, nil)
	old.Set("x", 3, nil)
	old.Set("y", 3, nil)
	old.Gone()
	want := `
# HELP pyisolate_guest_metric The last value that a guest gave to metric() under a name.
# TYPE pyisolate_guest_metric gauge
pyisolate_guest_metric{cell="c",name="x",tenant="acme"} 2
`
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "pyisolate_guest_metric"); err != nil {
		t.Error(err)
	}
}

func TestManyTenants(t *testing.T) {
	m := NewMetrics()
	for i := range maxOfAll + 100 {
		m.Guest(fmt.Sprint("t", i), "c").Set("x", 1, nil)
	}
	if n := seriesOf(t, m, "pyisolate_guest_metric"); n != maxOfAll {
		t.Errorf("%d series", n)
	}
}

// What guests write into names and tags cannot break the exposition.
func TestGuestsWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMetrics(WithGuestTags("unit", "a-b"))
		c := m.Guest("t", "c")
		for range rapid.IntRange(0, 20).Draw(t, "samples") {
			c.Set(rapid.String().Draw(t, "name")+rapid.SampledFrom([]string{"", "\xff", "\n# HELP x", `"} 1`, tagSeparator}).Draw(t, "end"),
				rapid.Float64().Draw(t, "value"), map[string]string{"unit": rapid.String().Draw(t, "tag"), "a-b": string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))})
		}
		c.Set("nan", math.NaN(), nil)
		if _, err := m.registry.Gather(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTagsAreLabelsWhereAllowed(t *testing.T) {
	m := NewMetrics(WithGuestTags("unit"))
	m.Guest("t", "c").Set("load", 3, map[string]string{"unit": "s", "other": "x"})
	want := `
# HELP pyisolate_guest_metric The last value that a guest gave to metric() under a name.
# TYPE pyisolate_guest_metric gauge
pyisolate_guest_metric{cell="c",name="load",tag_unit="s",tenant="t"} 3
`
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "pyisolate_guest_metric"); err != nil {
		t.Error(err)
	}
}

// What cannot be a label, or would be one twice, is refused, and left out of metrics.
func TestCheckGuestTags(t *testing.T) {
	for name, c := range map[string]struct {
		tags []string
		want string // what is wrong
		good int
	}{
		"none":        {nil, "", 0},
		"some":        {[]string{"unit", "a-b", "ä"}, "", 3},
		"alike":       {[]string{"a-b", "a_b"}, `"a-b" and "a_b" are both the label tag_a_b`, 1},
		"twice":       {[]string{"a", "a"}, `are both the label`, 1},
		"empty":       {[]string{"", "a"}, "one is empty", 1},
		"long":        {[]string{strings.Repeat("x", maxLabel+1)}, "are the most", 0},
		"many":        {strings.Split("abcdefghi", ""), "there are 9, 8 is the most", 8},
		"all at once": {[]string{"", "", strings.Repeat("x", maxLabel+1)}, "are the most", 0},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckGuestTags(c.tags)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			m := NewMetrics(WithGuestTags(c.tags...))
			m.Guest("t", "c").Set("load", 1, nil)
			if n := seriesOf(t, m, "pyisolate_guest_metric"); n != 1 || len(m.guests.tags) != c.good {
				t.Errorf("%d series with %q", n, m.guests.tags)
			}
		})
	}
}

// Words of guests are no labels: what is not known is other.
func TestWordsAreFew(t *testing.T) {
	m := NewMetrics()
	for i := range 5000 {
		word := fmt.Sprint("made-up-", i)
		m.Denied(word, word)
		m.Requested(word, word, time.Second, 1, 1)
		m.Operation(word, word, time.Second, "")
		m.Spawned(word, word, false, time.Second)
		m.QuotaKill(word)
		m.HostStarted(word, word)
		m.HostEnded(word, word)
		m.Called(word, word, time.Second, "")
		m.Reloaded(word, time.Second)
		m.Waited(word, time.Second)
		m.Moved(word, 1)
		m.Alerted(word, word, 1)
		m.PolicyVersion(word, 1)
		m.PolicyVersion("tenant/"+word, 1)
	}
	for _, c := range []struct {
		name string
		most int
	}{
		{"pyisolate_denials_total", 1}, {"pyisolate_capability_request_duration_seconds", 1}, {"pyisolate_operation_duration_seconds", 1},
		{"pyisolate_cell_spawn_duration_seconds", 1}, {"pyisolate_quota_kills_total", 1}, {"pyisolate_host_starts_total", 5},
		{"pyisolate_host_ends_total", 11}, {"pyisolate_api_request_duration_seconds", 1}, {"pyisolate_policy_reload_duration_seconds", 1},
		{"pyisolate_operation_wait_seconds", 1}, {"pyisolate_cell_items_total", 1}, {"pyisolate_webhook_events_total", 33},
		{"pyisolate_policy_version", 2 * maxPoliciesOfOne},
	} {
		if n := seriesOf(t, m, c.name); n > c.most || n == 0 {
			t.Errorf("%s has %d series, %d are the most", c.name, n, c.most)
		}
	}
}

func TestPolicyVersions(t *testing.T) {
	m := NewMetrics()
	for i := range maxPoliciesOfOne + 5 {
		m.PolicyVersion(fmt.Sprint("a/p", i), 1)
	}
	m.PolicyVersion("b/p", 7)
	m.PolicyVersion("a/p66", 9)
	m.PolicyVersion("a/p0", 0) // deleted: there is room for one of those left out
	m.PolicyVersion("a/p1", 0)
	m.PolicyVersion("a/p2", 0)
	m.PolicyVersion("a/new", 2)
	if v := m.policies.newest["a/p66"]; v != 9 {
		t.Errorf("version %d of what was left out", v)
	}
	if n := seriesOf(t, m, "pyisolate_policy_version"); n != maxPoliciesOfOne+1 {
		t.Errorf("%d series", n)
	}
	want := `
# HELP pyisolate_policies_left_out Policies whose versions are not told because of a bound, as far as they are counted.
# TYPE pyisolate_policies_left_out gauge
pyisolate_policies_left_out 3
`
	if err := testutil.GatherAndCompare(m.registry, strings.NewReader(want), "pyisolate_policies_left_out"); err != nil {
		t.Error(err)
	}
}

// Nobody has to ask whether there are metrics, or an observer.
func TestNil(t *testing.T) {
	var m *Metrics
	m.Spawned("process", "ok", true, 0)
	m.Operation("exec", "ok", 0, "")
	m.Waited("exec", 0)
	m.Moved("in", 0)
	m.Denied("fs", "guest")
	m.QuotaKill("memory")
	m.Requested("kv", "OK", 0, 0, 0)
	m.Capability("x")
	m.Reloaded("ok", 0)
	m.PolicyVersion("p", 1)
	m.HostStarted("process", "ok")
	m.HostEnded("process", "died")
	m.Called("/x", "ok", 0, "")
	m.Procedure("/x")
	m.Serving(1)
	m.Alerted("x", "delivered", 1)
	m.Guest("t", "c").Set("n", 1, nil)
	m.Guest("t", "c").Gone()
	m.Read(Sources{})
	if m.Handler() == nil || m.Registry() == nil {
		t.Error("a nil registry")
	}
	var o *Observer
	o.Ready("")
	o.Draining("")
	o.Read(Sources{})
	o.Refused("/x", nil)
	o.Wait()
	o.WatchPolicies(t.Context(), nil)
	if o.Spawner(nil) != nil || o.Recorder(nil) != nil {
		t.Error("a nil observer stands between")
	}
}

// Capabilities and procedures that the node itself has are told apart.
func TestLearnedWords(t *testing.T) {
	m := NewMetrics()
	m.Capability("acme.print")
	m.Denied("acme.print", "broker")
	m.Procedure("/x.Y/Z")
	m.Called("/x.Y/Z", "ok", time.Second, "")
	if testutil.ToFloat64(m.denials.WithLabelValues("acme.print", "broker")) != 1 {
		t.Error("a known capability is counted as another")
	}
	if n := seriesOf(t, m, "pyisolate_api_request_duration_seconds"); n != 1 {
		t.Errorf("%d series", n)
	}
}

func TestOutcome(t *testing.T) {
	for want, err := range map[string]error{"ok": nil, "Busy": cell.Errorf(cell.Busy, "x"), "Unknown": fmt.Errorf("x")} {
		if got := Outcome(err); got != want {
			t.Errorf("%v is %q", err, got)
		}
	}
}

func BenchmarkOperation(b *testing.B) {
	m := NewMetrics()
	for name, trace := range map[string]string{"plain": "", "exemplar": strings.Repeat("a", 32)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Operation("exec", "ok", time.Millisecond, trace)
			}
		})
	}
}

func BenchmarkGuest(b *testing.B) {
	c := NewMetrics().Guest("acme", "worker")
	b.ReportAllocs()
	for b.Loop() {
		c.Set("load", 0.5, nil)
	}
}

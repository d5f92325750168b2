package telemetry

import (
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Bounds of what guests measure: series of one cell, of one tenant and of all.
const (
	maxOfCell   = 64
	maxOfTenant = 512
	maxOfAll    = 8192
	maxTags     = 8
)

// guests have the latest value of everything that guests measure, within bounds.
type guests struct {
	tags  []string // that are labels
	value *prometheus.Desc
	kept  *prometheus.CounterVec

	mu    sync.Mutex
	cells map[cellName]map[series]float64
	of    map[string]int // series of a tenant
	all   int
}

type cellName struct{ tenant, cell string }

// series is a name, and the values of the tags that are labels, joined.
type series struct{ name, tags string }

const tagSeparator = "\xff" // in no valid text

func newGuests(tags []string) *guests {
	g := &guests{cells: map[cellName]map[series]float64{}, of: map[string]int{}}
	labels := []string{"tenant", "cell", "name"}
	for _, t := range tags[:min(len(tags), maxTags)] {
		g.tags = append(g.tags, t)
		labels = append(labels, "tag_"+strings.Map(labelRune, t))
	}
	g.value = prometheus.NewDesc("pyisolate_guest_metric", "The last value that a guest gave to metric() under a name.", labels, nil)
	g.kept = counter("pyisolate_guest_samples_total", "Measurements of guests: kept, or left out because of a bound.", "outcome")
	g.kept.WithLabelValues("kept")
	g.kept.WithLabelValues("left_out")
	return g
}

func labelRune(r rune) rune {
	if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return '_'
}

func (g *guests) set(tenant, cell, name string, v float64, tags map[string]string) {
	s := series{name: events.Text(name, maxLabel)}
	if len(g.tags) > 0 {
		values := make([]string, len(g.tags))
		for i, t := range g.tags {
			values[i] = events.Text(tags[t], maxLabel)
		}
		s.tags = strings.Join(values, tagSeparator)
	}
	if g.keep(cellName{tenant, cell}, s, v) {
		g.kept.WithLabelValues("kept").Inc()
	} else {
		g.kept.WithLabelValues("left_out").Inc()
	}
}

func (g *guests) keep(c cellName, s series, v float64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.cells[c]
	if _, there := own[s]; !there {
		if len(own) >= maxOfCell || g.of[c.tenant] >= maxOfTenant || g.all >= maxOfAll {
			return false
		}
		if own == nil {
			own = map[series]float64{}
			g.cells[c] = own
		}
		g.of[c.tenant]++
		g.all++
	}
	own[s] = v
	return true
}

func (g *guests) forget(tenant, cell string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := cellName{tenant, cell}
	n := len(g.cells[c])
	delete(g.cells, c)
	g.all -= n
	if g.of[tenant] -= n; g.of[tenant] <= 0 {
		delete(g.of, tenant)
	}
}

// Describe implements prometheus.Collector.
func (g *guests) Describe(ch chan<- *prometheus.Desc) {
	ch <- g.value
	g.kept.Describe(ch)
}

// Collect implements prometheus.Collector.
func (g *guests) Collect(ch chan<- prometheus.Metric) {
	g.kept.Collect(ch)
	for _, m := range g.snapshot() {
		ch <- m
	}
}

func (g *guests) snapshot() []prometheus.Metric {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]prometheus.Metric, 0, g.all)
	for c, own := range g.cells {
		for s, v := range own {
			labels := []string{c.tenant, c.cell, s.name}
			if len(g.tags) > 0 {
				labels = slices.Concat(labels, strings.Split(s.tags, tagSeparator))
			}
			out = append(out, prometheus.MustNewConstMetric(g.value, prometheus.GaugeValue, v, labels...))
		}
	}
	return out
}

package telemetry

import (
	"errors"
	"fmt"
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
)

// MaxGuestTags is how many tags of guests can be labels.
const MaxGuestTags = 8

// guests have the latest value of everything that guests measure, within bounds.
type guests struct {
	tags  []string // that are labels
	value *prometheus.Desc
	kept  *prometheus.CounterVec

	mu    sync.Mutex
	cells map[cellName]*Guest // the latest of each name
	of    map[string]int      // series of a tenant
	all   int
}

type cellName struct{ tenant, cell string }

// Guest has what one incarnation of a cell measures, until it is gone. Its methods may be called on
// a nil one, from any goroutine.
type Guest struct {
	guests *guests
	name   cellName

	gone  bool // under the guests' mu, as is what follows
	value map[series]float64
}

// series is a name, and the values of the tags that are labels, joined.
type series struct{ name, tags string }

const tagSeparator = "\xff" // in no valid text

func newGuests(tags []string) *guests {
	g := &guests{cells: map[cellName]*Guest{}, of: map[string]int{}}
	labels := []string{"tenant", "cell", "name"}
	g.tags, _ = guestTags(tags)
	for _, t := range g.tags {
		labels = append(labels, labelOf(t))
	}
	g.value = prometheus.NewDesc("pyisolate_guest_metric", "The last value that a guest gave to metric() under a name.", labels, nil)
	g.kept = counter("pyisolate_guest_samples_total", "Measurements of guests: kept, or left out because of a bound.", "outcome")
	g.kept.WithLabelValues("kept")
	g.kept.WithLabelValues("left_out")
	return g
}

// CheckGuestTags says all that is wrong with names for WithGuestTags, nil: nothing.
func CheckGuestTags(names []string) error {
	_, err := guestTags(names)
	return err
}

// guestTags has those names that can be labels, and what is wrong with the others.
func guestTags(names []string) (good []string, err error) {
	var wrong []error
	of := map[string]string{}
	for _, name := range names {
		switch label := labelOf(name); {
		case name == "":
			wrong = append(wrong, errors.New("one is empty"))
		case len(name) > maxLabel:
			wrong = append(wrong, fmt.Errorf("%.32q… has %d bytes, %d are the most", name, len(name), maxLabel))
		case of[label] != "":
			wrong = append(wrong, fmt.Errorf("%q and %q are both the label %s", of[label], name, label))
		case len(good) < MaxGuestTags:
			of[label] = name
			good = append(good, name)
		}
	}
	if len(names) > MaxGuestTags {
		wrong = append(wrong, fmt.Errorf("there are %d, %d is the most", len(names), MaxGuestTags))
	}
	return good, errors.Join(wrong...)
}

// labelOf is the label of a tag.
func labelOf(tag string) string { return "tag_" + strings.Map(labelRune, tag) }

func labelRune(r rune) rune {
	if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return '_'
}

// guest begins to keep what an incarnation measures. One before it of the same name is gone.
func (g *guests) guest(tenant, cell string) *Guest {
	c := &Guest{guests: g, name: cellName{tenant, cell}, value: map[series]float64{}}
	g.mu.Lock()
	defer g.mu.Unlock()
	if before := g.cells[c.name]; before != nil {
		g.forget(before)
	}
	g.cells[c.name] = c
	return c
}

// Set keeps a value, within bounds. See WithGuestTags.
func (c *Guest) Set(name string, v float64, tags map[string]string) {
	if c == nil {
		return
	}
	s := series{name: events.Text(name, maxLabel)}
	g := c.guests
	if len(g.tags) > 0 {
		values := make([]string, len(g.tags))
		for i, t := range g.tags {
			values[i] = events.Text(tags[t], maxLabel)
		}
		s.tags = strings.Join(values, tagSeparator)
	}
	if g.keep(c, s, v) {
		g.kept.WithLabelValues("kept").Inc()
	} else {
		g.kept.WithLabelValues("left_out").Inc()
	}
}

// keep reports false where there is no room, and of one that is gone: a host's last frames are read
// after the end of its cells.
func (g *guests) keep(c *Guest, s series, v float64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.gone {
		return false
	}
	if _, there := c.value[s]; !there {
		if len(c.value) >= maxOfCell || g.of[c.name.tenant] >= maxOfTenant || g.all >= maxOfAll {
			return false
		}
		g.of[c.name.tenant]++
		g.all++
	}
	c.value[s] = v
	return true
}

// Gone forgets what was measured, and what may still come. It may be called again.
func (c *Guest) Gone() {
	if c == nil {
		return
	}
	c.guests.mu.Lock()
	defer c.guests.mu.Unlock()
	c.guests.forget(c)
}

// forget is Gone, under mu.
func (g *guests) forget(c *Guest) {
	if c.gone {
		return
	}
	c.gone = true
	delete(g.cells, c.name)
	n, tenant := len(c.value), c.name.tenant
	c.value = nil
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
	for name, c := range g.cells {
		for s, v := range c.value {
			labels := []string{name.tenant, name.cell, s.name}
			if len(g.tags) > 0 {
				labels = slices.Concat(labels, strings.Split(s.tags, tagSeparator))
			}
			out = append(out, prometheus.MustNewConstMetric(g.value, prometheus.GaugeValue, v, labels...))
		}
	}
	return out
}

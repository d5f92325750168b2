package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Sources are what others count, read when somebody scrapes. Those that are nil are left out.
type Sources struct {
	// Launch is (*launch.Launcher).Stats.
	Launch func() launch.Stats
	// DeadLetters is (*actors.System).DeadLetters.
	DeadLetters func() map[string]uint64
	// Events is (*events.Hub).Stats.
	Events func() events.Stats
}

// Read has the sources read from now on, instead of those before.
func (m *Metrics) Read(s Sources) {
	if m != nil {
		m.read.set(s)
	}
}

// RegisterLaunch is Read for the launcher alone.
func (m *Metrics) RegisterLaunch(stats func() launch.Stats) {
	if m != nil {
		m.read.change(func(s *Sources) { s.Launch = stats })
	}
}

type reader struct {
	mu      sync.Mutex
	sources Sources
}

func newReader() *reader { return &reader{} }

func (r *reader) set(s Sources) { r.change(func(now *Sources) { *now = s }) }

func (r *reader) change(do func(*Sources)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do(&r.sources)
}

// Describe implements prometheus.Collector.
func (r *reader) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range readFamilies {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (r *reader) Collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	s := r.sources
	r.mu.Unlock()
	collectLaunch(ch, s.Launch)
}

// family is a metric that is read.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

var readFamilies []family

func readCounter(name, help string, labels ...string) family {
	return readFamily(prometheus.CounterValue, name, help, labels)
}

func readGauge(name, help string, labels ...string) family {
	return readFamily(prometheus.GaugeValue, name, help, labels)
}

func readFamily(kind prometheus.ValueType, name, help string, labels []string) family {
	f := family{prometheus.NewDesc(name, help, labels, nil), kind}
	readFamilies = append(readFamilies, f)
	return f
}

func (f family) give(ch chan<- prometheus.Metric, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
}

var (
	hostsNow     = readGauge("pyisolate_hosts", "Host processes that are there.")
	cellsNow     = readGauge("pyisolate_cells", "Cells that have not ended.")
	poolHits     = readCounter("pyisolate_pool_hits_total", "Cells that found a worker ready.")
	poolMisses   = readCounter("pyisolate_pool_misses_total", "Cells that a worker was made for.")
	hostRestarts = readCounter("pyisolate_host_restarts_total", "Hosts that were started in the place of one that had ended.")
)

func collectLaunch(ch chan<- prometheus.Metric, stats func() launch.Stats) {
	if stats == nil {
		return
	}
	s := stats()
	hostsNow.give(ch, float64(s.Hosts))
	cellsNow.give(ch, float64(s.Cells))
	poolHits.give(ch, float64(s.PoolHits))
	poolMisses.give(ch, float64(s.PoolMisses))
	hostRestarts.give(ch, float64(s.Restarts))
}

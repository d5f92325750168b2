package telemetry

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pyisolate/pyisolate/cell"
)

// Metrics counts. Methods may be called on a nil one.
type Metrics struct {
	registry     *prometheus.Registry
	capabilities *words
	procedures   *words
	webhooks     *words
	policies     *policyVersions
	guests       *guests
	read         *reader

	spawns, operations, waits, reloads, requests, calls, checkpoints                  *prometheus.HistogramVec
	kills, denials, hostStarts, hostEnds, items, bytes, carried, alerts, checkpointed *prometheus.CounterVec
	migrations, replications                                                          *prometheus.CounterVec
	paused                                                                            prometheus.Histogram
	serving                                                                           prometheus.Gauge
}

// Option of [NewMetrics].
type Option func(*options)

type options struct {
	guestTags       []string
	version, python string
}

// WithGuestTags makes labels of tags that guests give with their measurements: those names, each
// as tag_NAME, for guests that are trusted to choose few values. What [CheckGuestTags] says to be
// wrong is left out.
func WithGuestTags(names ...string) Option {
	return func(o *options) { o.guestTags = names }
}

// WithBuild says what runs: pyisolate's version, and Python's.
func WithBuild(version, python string) Option {
	return func(o *options) { o.version, o.python = version, python }
}

// NewMetrics returns metrics with a registry of their own.
func NewMetrics(with ...Option) *Metrics {
	var o options
	for _, set := range with {
		set(&o)
	}
	m := &Metrics{registry: prometheus.NewRegistry(), capabilities: newWords(128, capabilities...), procedures: newWords(128),
		webhooks: newWords(32), policies: newPolicyVersions(), guests: newGuests(o.guestTags), read: &reader{}}
	m.makeVectors()
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "pyisolate_build_info", Help: "What runs; always 1.",
		ConstLabels: prometheus.Labels{"version": o.version, "python": o.python, "go": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(build, m.policies, m.guests, m.read, m.serving,
		m.spawns, m.operations, m.waits, m.reloads, m.requests, m.calls, m.checkpoints, m.checkpointed,
		m.kills, m.denials, m.hostStarts, m.hostEnds, m.items, m.bytes, m.carried, m.alerts, m.migrations, m.replications, m.paused,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry is where all is registered, for an embedding program's own collectors.
func (m *Metrics) Registry() *prometheus.Registry {
	if m == nil {
		return prometheus.NewRegistry()
	}
	return m.registry
}

// Handler serves /metrics: in OpenMetrics, with exemplars, to who asks for that.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Spawned counts a cell that was started, or was not; warm: a worker was ready for it.
func (m *Metrics) Spawned(backend, outcome string, warm bool, d time.Duration) {
	if m == nil {
		return
	}
	start := "cold"
	if warm {
		start = "warm"
	}
	m.spawns.WithLabelValues(backends.of(backend), outcomes.of(outcome), start).Observe(d.Seconds())
}

// Operation counts one operation of a cell: its name as actors have it ("exec", "call", "send",
// "recv", "snapshot", "inspect", "reload", "quarantine", "close"), or "restore", and an outcome
// ([Outcome]). trace is the id of its trace, "" for none.
func (m *Metrics) Operation(op, outcome string, d time.Duration, trace string) {
	if m != nil {
		observe(m.operations.WithLabelValues(operations.of(op), outcomes.of(outcome)), d, trace)
	}
}

// Waited counts how long an operation waited before it was begun.
func (m *Metrics) Waited(op string, d time.Duration) {
	if m != nil {
		m.waits.WithLabelValues(operations.of(op)).Observe(d.Seconds())
	}
}

// Moved counts an item that went into an inbox ("in") or was taken from an outbox ("out"), and
// its bytes.
func (m *Metrics) Moved(direction string, bytes int) {
	if m != nil {
		m.items.WithLabelValues(directions.of(direction)).Inc()
		m.bytes.WithLabelValues(directions.of(direction)).Add(float64(bytes))
	}
}

// Denied counts a refusal by its capability ("fs", "net", "import", "kv", …) and layer: guest,
// broker or kernel.
func (m *Metrics) Denied(capability, layer string) {
	if m != nil {
		m.denials.WithLabelValues(m.capabilities.of(capability), layers.of(layer)).Inc()
	}
}

// QuotaKill counts an operation that a limit ended: memory, cpu, cpu_window, wall, output,
// children or network.
func (m *Metrics) QuotaKill(limit string) {
	if m != nil {
		m.kills.WithLabelValues(limits.of(limit)).Inc()
	}
}

// Requested counts what a guest asked the broker for, by what the capability made of it.
func (m *Metrics) Requested(capability, outcome string, d time.Duration, in, out int) {
	if m != nil {
		m.requests.WithLabelValues(m.capabilities.of(capability), requestOutcomes.of(outcome)).Observe(d.Seconds())
		m.carried.WithLabelValues("in").Add(float64(in))
		m.carried.WithLabelValues("out").Add(float64(out))
	}
}

// Capability makes a name known that is not among those that come with a node: only then do
// Denied and Requested count under it.
func (m *Metrics) Capability(names ...string) {
	if m != nil {
		for _, name := range names {
			m.capabilities.learn(name)
		}
	}
}

// Reloaded counts a version of a policy that was put in force in a running cell, or was not.
func (m *Metrics) Reloaded(outcome string, d time.Duration) {
	if m != nil {
		m.reloads.WithLabelValues(outcomes.of(outcome)).Observe(d.Seconds())
	}
}

// PolicyVersion tells the newest version of a policy; 0: it was deleted.
func (m *Metrics) PolicyVersion(policy string, version uint64) {
	if m != nil {
		m.policies.set(policy, version)
	}
}

func (m *Metrics) policiesAre(all *policySet) {
	if m != nil {
		m.policies.replace(all)
	}
}

// HostStarted counts a host that was started, with outcome "ok", or could not be.
func (m *Metrics) HostStarted(backend, outcome string) {
	if m != nil {
		m.hostStarts.WithLabelValues(backends.of(backend), outcomes.of(outcome)).Inc()
	}
}

// HostEnded counts one that has ended: "closed", "idle", "retired", "killed" or "died".
func (m *Metrics) HostEnded(backend, reason string) {
	if m != nil {
		m.hostEnds.WithLabelValues(backends.of(backend), hostReasons.of(reason)).Inc()
	}
}

// Called counts a call of the API by its procedure, as /pyisolate.v1.CellService/Exec, and code,
// "ok" or one of connect's.
func (m *Metrics) Called(procedure, code string, d time.Duration, trace string) {
	if m != nil {
		observe(m.calls.WithLabelValues(m.procedures.of(procedure), codes.of(code)), d, trace)
	}
}

// Procedure makes a procedure known: only then does Called count under it.
func (m *Metrics) Procedure(names ...string) {
	if m != nil {
		for _, name := range names {
			m.procedures.learn(name)
		}
	}
}

// Serving counts calls that are under way: by 1, and by -1 at their end.
func (m *Metrics) Serving(by int) {
	if m != nil {
		m.serving.Add(float64(by))
	}
}

// Alerted counts what became of an event for a webhook: "delivered", "failed", "lost".
func (m *Metrics) Alerted(webhook, outcome string, events int) {
	if m != nil {
		m.webhooks.learn(webhook)
		m.alerts.WithLabelValues(m.webhooks.of(webhook), deliveries.of(outcome)).Add(float64(events))
	}
}

// Guest keeps what a new incarnation of a cell measures. What one before it of the same name has
// measured is forgotten.
func (m *Metrics) Guest(tenant, cell string) *Guest {
	if m == nil {
		return nil
	}
	return m.guests.guest(tenant, cell)
}

// Outcome is the label for an error: "ok" for none, and otherwise the error's kind.
func Outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return cell.KindOf(err).String()
}

// observe has an exemplar where there is a trace.
func observe(o prometheus.Observer, d time.Duration, trace string) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && trace != "" && len(trace) <= 64 {
		e.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": trace})
		return
	}
	o.Observe(d.Seconds())
}

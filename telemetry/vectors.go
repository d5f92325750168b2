package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/clock"
	"github.com/pyisolate/pyisolate/broker/capability/fetch"
	"github.com/pyisolate/pyisolate/broker/capability/files"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/broker/capability/random"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
	"github.com/pyisolate/pyisolate/broker/capability/send"
	"github.com/pyisolate/pyisolate/broker/capability/subprocess"
	"github.com/pyisolate/pyisolate/cell"
)

// The closed lists of labels' values.
var (
	backends        = newWords(0, string(cell.SubInterpreter), string(cell.Process))
	outcomes        = newWords(0, outcomeNames()...)
	requestOutcomes = newWords(0, requestOutcomeNames()...)
	operations      = newWords(0, "exec", "call", "send", "recv", "snapshot", "restore", "move", "inspect", "reload", "quarantine", "kill", "close")
	layers          = newWords(0, "guest", "broker", "kernel")
	limits          = newWords(0, "memory", "cpu", "cpu_window", "wall", "output", "children", "network")
	hostReasons     = newWords(0, "closed", "idle", "retired", "killed", "died")
	directions      = newWords(0, "in", "out")
	checkpointing   = newWords(0, "save", "restore")
	deliveries      = newWords(0, "delivered", "failed", "lost")
	codes           = newWords(0, "ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
		"permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal",
		"unavailable", "data_loss", "unauthenticated")
	// What the kernel, the gate and the built-in capabilities speak of in denials.
	capabilities = []string{"fs", "net", "process", "cpu", "import", "native", "code", "frames",
		files.ReadName, files.ListName, files.WriteName, fetch.Name, kv.Name, clock.Name, random.Name, secrets.Name, send.Name, subprocess.Name}
)

func outcomeNames() []string {
	names := []string{"ok", cell.KindUnknown.String()}
	for _, k := range cell.Kinds() {
		names = append(names, k.String())
	}
	return names
}

func requestOutcomeNames() []string {
	names := []string{capability.OK.String()}
	for _, k := range capability.Kinds() {
		names = append(names, k.String())
	}
	return names
}

// Buckets in seconds: of what takes microseconds when all is well, and of what starts processes.
var (
	quick = []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	slow  = []float64{100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

func (m *Metrics) makeVectors() {
	m.spawns = histogram("pyisolate_cell_spawn_duration_seconds", "How long it took until a cell had started, or had not.", slow, "backend", "outcome", "start")
	m.operations = histogram("pyisolate_operation_duration_seconds", "How long operations of cells took, by how they ended.", quick, "op", "outcome")
	m.waits = histogram("pyisolate_operation_wait_seconds", "How long operations waited in their cell's actor before they were begun.", quick, "op")
	m.reloads = histogram("pyisolate_policy_reload_duration_seconds", "How long it took to put a version of a policy in force in a running cell.", slow, "outcome")
	m.requests = histogram("pyisolate_capability_request_duration_seconds", "How long what guests asked the broker for took.", quick, "capability", "outcome")
	m.calls = histogram("pyisolate_api_request_duration_seconds", "How long calls of the API took, streams included.", quick, "procedure", "code")

	m.kills = counter("pyisolate_quota_kills_total", "Operations that a limit has ended.", "limit")
	m.denials = counter("pyisolate_denials_total", "What guests tried and their policies do not permit, by the layer that refused it.", "capability", "layer")
	m.hostStarts = counter("pyisolate_host_starts_total", "Host processes that were started, or could not be.", "backend", "outcome")
	m.hostEnds = counter("pyisolate_host_ends_total", "Host processes that have ended, by why.", "backend", "reason")
	m.items = counter("pyisolate_cell_items_total", "Items put into inboxes (in) and taken from outboxes (out).", "direction")
	m.bytes = counter("pyisolate_cell_items_bytes_total", "Bytes of items put into inboxes (in) and taken from outboxes (out).", "direction")
	m.carried = counter("pyisolate_capability_bytes_total", "Bytes of what guests asked the broker for (in) and were answered (out).", "direction")
	m.checkpoints = histogram("pyisolate_checkpoint_duration_seconds", "How long it took until a checkpoint was kept (save) or a cell had its state (restore), or not.", slow, "op", "outcome")
	m.replications = counter("pyisolate_checkpoint_replications_total", "Checkpoints that other nodes were to have copies of: full, or short of some.", "outcome")
	m.migrations = counter("pyisolate_migrations_total", "Moves of cells from this node to others, by what became of them.", "outcome")
	m.paused = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pyisolate_migration_pause_seconds", Help: "How long cells that moved to other nodes stood still.", Buckets: slow})
	m.checkpointed = counter("pyisolate_checkpoint_bytes_total", "Bytes of checkpoints that were kept (save) and restored (restore), sealed.", "op")
	m.alerts = counter("pyisolate_webhook_events_total", "Events for webhooks, by what became of them.", "webhook", "outcome")
	m.serving = prometheus.NewGauge(prometheus.GaugeOpts{Name: "pyisolate_api_requests_in_flight", Help: "Calls of the API that are under way, streams included."})
	m.beginHosts()
}

// beginHosts has the series that alerts look at be there at 0, before there is anything to count: one
// that comes into being with its first failure has, for increase(), not increased.
func (m *Metrics) beginHosts() {
	for backend := range backends.known {
		m.hostStarts.WithLabelValues(backend, "ok")
		m.hostStarts.WithLabelValues(backend, cell.KindUnknown.String())
		for reason := range hostReasons.known {
			m.hostEnds.WithLabelValues(backend, reason)
		}
	}
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

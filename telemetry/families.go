package telemetry

import "github.com/prometheus/client_golang/prometheus"

// family is a metric that is read from who counts it.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// families are all of them.
var families []family

func readCounter(name, help string, labels ...string) family {
	return readFamily(prometheus.CounterValue, name, help, labels)
}

func readGauge(name, help string, labels ...string) family {
	return readFamily(prometheus.GaugeValue, name, help, labels)
}

func readFamily(kind prometheus.ValueType, name, help string, labels []string) family {
	f := family{prometheus.NewDesc(name, help, labels, nil), kind}
	families = append(families, f)
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
	brokerFrames = readCounter("pyisolate_broker_frames_total", "Sealed frames on the channels to hosts: from them (in) and to them (out).", "direction")
	brokerBytes  = readCounter("pyisolate_broker_bytes_total", "Bytes on the channels to hosts: from them (in) and to them (out).", "direction")

	kernelCPU      = readCounter("pyisolate_kernel_cpu_seconds_total", "Processor time of cells, as the kernel's programs count it.")
	kernelOpens    = readCounter("pyisolate_kernel_opens_total", "Files opened by cells, as the kernel's programs count them.")
	kernelConnects = readCounter("pyisolate_kernel_connects_total", "Connections, and datagrams that name a receiver, by cells.")
	kernelNetwork  = readCounter("pyisolate_kernel_network_bytes_total", "Bytes of IP packets of cells, headers included: received (in) and sent (out).", "direction")
	kernelChildren = readCounter("pyisolate_kernel_children_total", "Threads and processes started by cells.")
	kernelDenied   = readCounter("pyisolate_kernel_denied_total", "What the kernel's programs have refused to cells.")
	kernelSlowed   = readCounter("pyisolate_kernel_slowed_packets_total", "Packets dropped or marked because of a policy's bandwidth.")
	notifyCalls    = readCounter("pyisolate_notify_calls_total", "System calls about paths that the node judged for cells, by outcome.", "outcome")
	notifyLost     = readCounter("pyisolate_notify_denials_lost_total", "Denials of such calls that were too many to be told.")

	cellsBehind = readGauge("pyisolate_cells_behind_policy", "Cells that keep an old version of their policy because the newest could not be put in force.")

	actorNames  = readGauge("pyisolate_actors", "Names that cells hold: of live ones, and of those that have ended and keep theirs.", "state")
	queueItems  = readGauge("pyisolate_queue_messages", "Messages to cells that are not answered yet: those that keep an order, and those aside.", "line")
	outboxItems = readGauge("pyisolate_outbox_items", "Items that guests have posted and nobody has received, of cells that have not ended.")
	queueBytes  = readGauge("pyisolate_queue_bytes", "Bytes of messages to cells that are not answered yet.")
	deadLetters = readCounter("pyisolate_dead_letters_total", "Messages that did not reach a cell; \"no credit\" are those that its credit refused.", "reason")

	eventsPublished = readCounter("pyisolate_events_total", "Events that were published.", "kind")
	eventsLeftOut   = readCounter("pyisolate_events_left_out_total", "Of those, the ones beyond a tenant's budget, which nobody hears of.", "kind")
	eventsKept      = readGauge("pyisolate_events_kept", "Events that can be asked for.")
)

package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/notify"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Sources are what others count, read when somebody scrapes. Those that are nil are left out.
type Sources struct {
	// Launch, Traffic, Kernel and Unreceived are (*launch.Launcher).Stats, Traffic, KernelUsage
	// and Unreceived.
	Launch     func() launch.Stats
	Traffic    func() wire.Counts
	Kernel     func() cell.KernelUsage
	Unreceived func() int
	// Watched is (*enforce.Enforcer).WatchCounts.
	Watched func() notify.Counts
	// Actors and DeadLetters are (*actors.System).Stats and DeadLetters, whose names are few.
	Actors      func() actors.Stats
	DeadLetters func() map[string]uint64
	// Behind is (*live.Reloader).Behind.
	Behind func() int
	// Events is (*events.Hub).Stats.
	Events func() events.Stats
	// Cluster is what a node knows of the cluster that it is in.
	Cluster func() ClusterStats
}

// over has what is set in s, and otherwise what is in old.
func (s Sources) over(old Sources) Sources {
	if s.Launch != nil {
		old.Launch = s.Launch
	}
	if s.Traffic != nil {
		old.Traffic = s.Traffic
	}
	if s.Kernel != nil {
		old.Kernel = s.Kernel
	}
	if s.Unreceived != nil {
		old.Unreceived = s.Unreceived
	}
	if s.Watched != nil {
		old.Watched = s.Watched
	}
	if s.Actors != nil {
		old.Actors = s.Actors
	}
	if s.DeadLetters != nil {
		old.DeadLetters = s.DeadLetters
	}
	if s.Behind != nil {
		old.Behind = s.Behind
	}
	if s.Events != nil {
		old.Events = s.Events
	}
	if s.Cluster != nil {
		old.Cluster = s.Cluster
	}
	return old
}

// Read has sources read from now on; those that are nil stay what they are.
func (m *Metrics) Read(s Sources) {
	if m == nil {
		return
	}
	m.read.mu.Lock()
	defer m.read.mu.Unlock()
	m.read.sources = s.over(m.read.sources)
}

// reader is a collector of what others count.
type reader struct {
	mu      sync.Mutex
	sources Sources
}

// Describe implements prometheus.Collector.
func (r *reader) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (r *reader) Collect(ch chan<- prometheus.Metric) {
	r.mu.Lock()
	s := r.sources
	r.mu.Unlock()
	collectHosts(ch, s)
	collectKernel(ch, s)
	collectMessages(ch, s)
	if s.Behind != nil {
		cellsBehind.give(ch, float64(s.Behind()))
	}
	if s.Cluster != nil {
		s.Cluster().collect(ch)
	}
	if s.Events != nil {
		e := s.Events()
		for _, k := range events.Kinds() {
			eventsPublished.give(ch, float64(e.Published[k]), string(k))
			eventsLeftOut.give(ch, float64(e.Suppressed[k]), string(k))
		}
		eventsKept.give(ch, float64(e.Kept))
	}
}

func collectHosts(ch chan<- prometheus.Metric, s Sources) {
	if s.Launch != nil {
		l := s.Launch()
		hostsNow.give(ch, float64(l.Hosts))
		cellsNow.give(ch, float64(l.Cells))
		poolHits.give(ch, float64(l.PoolHits))
		poolMisses.give(ch, float64(l.PoolMisses))
		hostRestarts.give(ch, float64(l.Restarts))
	}
	if s.Traffic != nil {
		t := s.Traffic()
		brokerFrames.give(ch, float64(t.FramesIn), "in")
		brokerFrames.give(ch, float64(t.FramesOut), "out")
		brokerBytes.give(ch, float64(t.BytesIn), "in")
		brokerBytes.give(ch, float64(t.BytesOut), "out")
	}
}

func collectKernel(ch chan<- prometheus.Metric, s Sources) {
	if s.Kernel != nil {
		u := s.Kernel()
		kernelCPU.give(ch, u.CPU.Seconds())
		kernelOpens.give(ch, float64(u.Opens))
		kernelConnects.give(ch, float64(u.Connects))
		kernelNetwork.give(ch, float64(u.Sent), "out")
		kernelNetwork.give(ch, float64(u.Received), "in")
		kernelChildren.give(ch, float64(u.Children))
		kernelDenied.give(ch, float64(u.Denied))
		kernelSlowed.give(ch, float64(u.Slowed))
	}
	if s.Watched != nil {
		w := s.Watched()
		for outcome, n := range map[string]uint64{"opened": w.Opened, "changed": w.Changed, "continued": w.Continued, "denied": w.Denied, "failed": w.Failed} {
			notifyCalls.give(ch, float64(n), outcome)
		}
		notifyLost.give(ch, float64(w.Lost))
	}
}

func collectMessages(ch chan<- prometheus.Metric, s Sources) {
	if s.Unreceived != nil {
		outboxItems.give(ch, float64(s.Unreceived()))
	}
	if s.Actors != nil {
		a := s.Actors()
		actorNames.give(ch, float64(a.Names-a.Ended), "live")
		actorNames.give(ch, float64(a.Ended), "ended")
		queueItems.give(ch, float64(a.Waiting), "ordered")
		queueItems.give(ch, float64(a.Aside), "aside")
		queueBytes.give(ch, float64(a.Bytes))
	}
	if s.DeadLetters != nil {
		for reason, n := range s.DeadLetters() {
			deadLetters.give(ch, float64(n), reason)
		}
	}
}

package node

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry"
	"github.com/pyisolate/pyisolate/telemetry/events"
	"github.com/pyisolate/pyisolate/telemetry/trace"
	"github.com/pyisolate/pyisolate/telemetry/webhook"
)

// observing is what looks on: metrics, events, traces, webhooks.
type observing struct {
	*telemetry.Observer
	hooks *webhook.Sender
	stop  context.CancelFunc // of who watches policies
	done  chan struct{}
}

// traces is how the configuration has calls traced, by the node of a name.
func (c Config) traces(instance string) trace.Config {
	return trace.Config{Endpoint: c.TraceEndpoint, Headers: c.TraceHeaders, Ratio: c.TraceRatio, Version: c.Version, Instance: instance, Logger: c.Logger}
}

// openObserver makes what the other parts tell of themselves.
func (n *Node) openObserver(ctx context.Context) (err error) {
	python := pydist.EmbeddedVersion
	if n.config.Python != "" || os.Getenv(pydist.PythonEnv) != "" {
		python = "chosen" // it is looked at later
	}
	hub := events.NewHubFrom(0, uint64(time.Now().UnixMicro()))
	n.observer.Observer = &telemetry.Observer{Events: hub, Logger: n.logger,
		Metrics: telemetry.NewMetrics(telemetry.WithBuild(n.config.Version, python), telemetry.WithGuestTags(n.config.MetricTags...))}
	n.observer.Read(telemetry.Sources{Events: n.observer.Events.Stats})
	if n.cluster != nil {
		n.observer.Read(telemetry.Sources{Cluster: n.clusterStats})
	}
	if n.observer.Tracer, err = trace.New(ctx, n.config.traces(n.name())); err != nil {
		return err
	}
	if len(n.config.Webhooks) > 0 {
		n.observer.hooks, err = webhook.New(webhook.Config{Hub: n.observer.Events, Hooks: n.config.Webhooks, Node: n.name(),
			Delivered: n.observer.Metrics.Alerted, Logger: n.logger})
	}
	return err
}

// watchPolicies has policies' versions counted, until the observer is closed.
func (n *Node) watchPolicies() {
	var ctx context.Context
	ctx, n.observer.stop = context.WithCancel(context.Background())
	n.observer.done = make(chan struct{})
	go func() {
		defer close(n.observer.done)
		n.observer.WatchPolicies(ctx, n.store)
	}()
}

// stopWatching ends what needs the store.
func (o *observing) stopWatching() {
	if o.stop != nil {
		o.stop()
		<-o.done
	}
}

// close sends what has happened, when nothing happens any more. That somebody does not take it is no
// failure of the node.
func (o *observing) close() {
	if o.Observer == nil {
		return
	}
	o.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), tellWithin)
	defer cancel()
	var telling sync.WaitGroup
	for _, tell := range []func(context.Context) error{o.hooks.Close, o.Tracer.Close} {
		telling.Go(func() {
			if err := tell(ctx); err != nil {
				o.Logger.Warn("the end of the node is not told to all", slog.Any("error", err))
			}
		})
	}
	telling.Wait()
}

// Observer is what counts and keeps what happens in the node, for an embedding program's own
// metrics, and its own look at events.
func (n *Node) Observer() *telemetry.Observer { return n.observer.Observer }

// observerPages show it: metrics to whoever may see all tenants, profiles to the node's own user,
// for what is in memory is in them.
func (n *Node) observerPages() map[string]server.Page {
	return map[string]server.Page{
		"/metrics":      {Handler: n.observer.Metrics.Handler(), Role: policystore.Viewer, Everywhere: true},
		"/debug/pprof/": {Handler: telemetry.Profiles(), Local: true, Long: true},
	}
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

package telemetry

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/telemetry/events"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// Observer ties a node's parts to what observes them. Each field may be nil, and so may the
// Observer.
type Observer struct {
	Metrics *Metrics
	Events  *events.Hub
	Tracer  *trace.Tracer
}

// Spawner starts cells: *launch.Launcher.
type Spawner interface {
	Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error)
}

// Spawner returns one that observes the cells that next starts: their operations, what they ask
// for, what they are denied, what they measure, and how they end.
func (o *Observer) Spawner(next Spawner) Spawner { return next }

// Actor is for actors.Options.Events.
func (o *Observer) Actor(e actors.Event) {}

// Reported is for live.Options.Reported.
func (o *Observer) Reported(r live.Report) {}

// Recorder is for capability.Config.Recorder; it hands on to next, which may be nil.
func (o *Observer) Recorder(next capability.Recorder) capability.Recorder { return next }

// Interceptor counts and traces calls of the API. It is to be the outermost.
func (o *Observer) Interceptor() connect.Interceptor { return nil }

// Policies is what WatchPolicies needs: *policystore.Store.
type Policies interface{ live.Source }

// WatchPolicies publishes new versions of policies until ctx ends.
func (o *Observer) WatchPolicies(ctx context.Context, store Policies) {}

// Profiles serves net/http/pprof below /debug/pprof/. It is for the node's own user: to be
// served on the unix socket alone.
func Profiles() http.Handler { return nil }

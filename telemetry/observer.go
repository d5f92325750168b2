package telemetry

import (
	"log/slog"
	"sync"

	"github.com/pyisolate/pyisolate/telemetry/events"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// Observer ties a node's parts to what observes them: each of its methods is for a hook of a
// package below. Each field may be nil, and so may the Observer.
type Observer struct {
	Metrics *Metrics
	Events  *events.Hub
	Tracer  *trace.Tracer
	// Logger takes what the observer itself cannot do.
	Logger *slog.Logger

	watching sync.WaitGroup // ends of cells
}

func (o *Observer) log() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// Read is that of its metrics.
func (o *Observer) Read(s Sources) {
	if o != nil {
		o.Metrics.Read(s)
	}
}

// Wait returns when all observed cells have ended: after the end of who starts them.
func (o *Observer) Wait() {
	if o != nil {
		o.watching.Wait()
	}
}

// Ready publishes that the node takes cells, and Draining that it does not any more.
func (o *Observer) Ready(message string) {
	o.publish(events.Event{Kind: events.NodeReady, Message: message})
}

// Draining is the opposite of Ready.
func (o *Observer) Draining(message string) {
	o.publish(events.Event{Kind: events.NodeDraining, Message: message})
}

func (o *Observer) publish(e events.Event) {
	if o != nil {
		o.Events.Publish(e)
	}
}

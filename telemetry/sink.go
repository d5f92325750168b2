package telemetry

import (
	"context"
	"sync/atomic"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// sink hears what a guest says, and hands it on.
type sink struct {
	observer *Observer
	next     cell.Sink // may be nil
	cell     atomic.Pointer[observed]
}

var _ cell.Sink = (*sink)(nil)

// Log implements cell.Sink.
func (s *sink) Log(r cell.LogRecord) {
	if s.next != nil {
		s.next.Log(r)
	}
}

// Metric implements cell.Sink.
func (s *sink) Metric(m cell.Sample) {
	if c := s.cell.Load(); c != nil { // a guest runs nothing before it is
		c.measured.Set(m.Name, m.Value, m.Tags)
	}
	if s.next != nil {
		s.next.Metric(m)
	}
}

// Denied implements cell.Sink.
func (s *sink) Denied(d cell.Denial) {
	s.observer.Metrics.Denied(d.Capability, layerOf(d))
	e := events.Event{Kind: events.Denied, At: d.At, Message: d.Capability + ": " + d.Action, Denial: &d}
	if c := s.cell.Load(); c != nil {
		e.Tenant, e.Cell, e.Epoch = c.tenant, c.name, c.epoch.Load()
		s.observer.publish(e)
	}
	if s.next != nil {
		s.next.Denied(d)
	}
}

// Request implements cell.Sink.
func (s *sink) Request(ctx context.Context, r cell.Request) (cell.Value, error) {
	ctx, span := s.observer.Tracer.Start(ctx, "cell.request")
	span.Text("pyisolate.capability", r.Capability)
	span.Text("pyisolate.action", r.Action)
	if c := s.cell.Load(); c != nil {
		span.Text("pyisolate.tenant", c.tenant)
		span.Text("pyisolate.cell", c.name)
	}
	if s.next == nil {
		err := cell.Errorf(cell.PolicyDenied, "capability %s is not granted", r.Capability)
		span.End(err)
		return cell.Value{}, err
	}
	v, err := s.next.Request(ctx, r)
	span.End(err)
	return v, err
}

// layerOf is where something was refused.
func layerOf(d cell.Denial) string {
	switch {
	case d.Kernel != "":
		return "kernel"
	case d.Broker != "":
		return "broker"
	}
	return "guest"
}

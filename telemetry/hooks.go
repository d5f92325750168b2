package telemetry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/policystore/live"
	"github.com/pyisolate/pyisolate/telemetry/events"
	"github.com/pyisolate/pyisolate/telemetry/logging"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// Actor is for actors.Options.Events: the life of cells.
func (o *Observer) Actor(a actors.Event) {
	e := events.Event{At: a.At, Tenant: a.Cell.Tenant, Cell: a.Cell.Name, Epoch: a.Epoch, Message: a.Reason}
	switch a.Kind {
	case actors.Started:
		e.Kind, e.Message = events.CellStarted, "it runs"
	case actors.Ended:
		e.Kind = endOf(a.Reason)
	case actors.Restarting:
		o.publish(with(e, endOf(a.Reason)))
		e.Kind = events.CellRestarted
	case actors.Quarantined:
		e.Kind = events.CellQuarantined
	default: // its name is free: nobody asks
		return
	}
	o.publish(e)
}

func with(e events.Event, k events.Kind) events.Event {
	e.Kind = k
	return e
}

// endOf tells a crash from other ends by the error's words, which begin with the state.
func endOf(reason string) events.Kind {
	if strings.HasPrefix(reason, cell.CellGone.String()+": "+string(cell.Crashed)+": ") {
		return events.CellCrashed
	}
	return events.CellEnded
}

type epochKey struct{}

func epochOf(ctx context.Context) uint64 {
	n, _ := ctx.Value(epochKey{}).(uint64)
	return n
}

// Operation is for actors.Options.Observe: how long operations waited, and a span that holds the
// wait and the work. Where the caller's context has no trace, the envelope's goes on.
func (o *Observer) Operation(ctx context.Context, op actors.Operation) (context.Context, func(actors.Reply)) {
	if o == nil {
		return ctx, func(actors.Reply) {}
	}
	o.Metrics.Waited(actors.Name(op.Envelope.Body), op.Waited)
	ctx = context.WithValue(ctx, epochKey{}, op.Epoch)
	ctx = logging.With(ctx, op.Envelope.To.Tenant, op.Envelope.To.Name)
	if op.Envelope.Trace != "" {
		ctx = trace.Within(ctx, op.Envelope.Trace)
	}
	if o.Tracer == nil {
		return ctx, func(actors.Reply) {}
	}
	ctx, span := o.Tracer.Start(ctx, "actor."+actors.Name(op.Envelope.Body))
	span.Text("pyisolate.tenant", op.Envelope.To.Tenant)
	span.Text("pyisolate.cell", op.Envelope.To.Name)
	span.Number("pyisolate.epoch", int64(op.Epoch))
	span.Number("pyisolate.waited_us", op.Waited.Microseconds())
	return ctx, func(r actors.Reply) { span.End(r.Err) }
}

// Reported is for live.Options.Reported: versions of policies in running cells.
func (o *Observer) Reported(r live.Report) {
	if o == nil {
		return
	}
	e := events.Event{Kind: events.PolicyHotload, Tenant: r.Tenant, Cell: r.Cell, Policy: r.Policy, Version: r.Version}
	outcome := "ok"
	if r.Failed != "" {
		outcome = cell.PolicyDenied.String()
		e.Kind, e.Version, e.Message = events.PolicyRefused, r.Newest, r.Failed
	} else if len(r.NewCell) > 0 {
		e.Message = "in a new cell: " + strings.Join(r.NewCell, "; ")
	}
	o.Metrics.Reloaded(outcome, r.Took)
	o.publish(e)
}

// Host is for launch.Config.Hosts.
func (o *Observer) Host(h launch.HostChange) {
	if o == nil {
		return
	}
	backend := string(h.Backend)
	switch {
	case h.Failed != nil:
		o.Metrics.HostStarted(backend, cell.KindUnknown.String())
		o.publish(events.Event{Kind: events.HostEnded, Message: fmt.Sprintf("a host of backend %s could not be started: %v", backend, h.Failed)})
	case h.Ended != "":
		o.Metrics.HostEnded(backend, string(h.Ended))
		o.publish(events.Event{Kind: events.HostEnded, Message: fmt.Sprintf("%s: process %d of backend %s, after %s: %s", h.Ended, h.PID, backend, h.Up.Round(time.Millisecond), h.Reason)})
	default:
		o.Metrics.HostStarted(backend, "ok")
		o.publish(events.Event{Kind: events.HostStarted, Message: fmt.Sprintf("process %d of backend %s", h.PID, backend)})
	}
}

// Recorder is for capability.Config.Recorder: what guests ask for. It hands on to next, which may
// be nil.
func (o *Observer) Recorder(next capability.Recorder) capability.Recorder {
	if o == nil {
		return next
	}
	return recorder{o, next}
}

type recorder struct {
	observer *Observer
	next     capability.Recorder
}

// Denied implements capability.Recorder. The cell's sink hears of it, too, and counts it.
func (r recorder) Denied(d capability.Denial) {
	if r.next != nil {
		r.next.Denied(d)
	}
}

// Record implements capability.Recorder.
func (r recorder) Record(one capability.Record) {
	r.observer.Metrics.Requested(one.Capability, one.Outcome.String(), one.Duration, one.BytesIn, one.BytesOut)
	if one.Outcome == capability.Internal {
		r.observer.publish(events.Event{Kind: events.BrokerError, At: one.At, Tenant: one.Tenant, Cell: one.Cell, Version: one.Version,
			Message: one.Capability + "." + one.Action + " failed by a fault of the node's"})
	}
	if r.next != nil {
		r.next.Record(one)
	}
}

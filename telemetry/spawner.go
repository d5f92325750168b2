package telemetry

import (
	"context"
	"io"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/telemetry/events"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

// Spawner starts cells: *launch.Launcher.
type Spawner interface {
	Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error)
}

// Spawner returns one that observes the cells that next starts: their operations, what they ask
// for, what they are denied, what they measure, and how they end.
func (o *Observer) Spawner(next Spawner) Spawner {
	if o == nil {
		return next
	}
	return spawner{o, next}
}

type spawner struct {
	observer *Observer
	next     Spawner
}

// Spawn implements Spawner.
func (s spawner) Spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error) {
	o := s.observer
	ctx, span := o.Tracer.Start(ctx, "cell.spawn")
	span.Text("pyisolate.tenant", spec.Tenant)
	span.Text("pyisolate.cell", spec.Name)
	heard := &sink{observer: o, next: spec.Sink}
	spec.Sink = heard
	began := time.Now()
	c, err := s.next.Spawn(ctx, spec)
	took := time.Since(began)
	span.End(err)
	backend, warm := spec.Backend, false
	if err == nil {
		backend = c.Spec().Backend
		w, says := c.(interface{ Warm() bool })
		warm = says && w.Warm()
	}
	o.Metrics.Spawned(string(backend), Outcome(err), warm, took)
	if err != nil {
		return nil, err
	}
	seen := &observed{Cell: c, observer: o, tenant: c.Spec().Tenant, name: c.Spec().Name}
	seen.measured = o.Metrics.Guest(seen.tenant, seen.name)
	heard.cell.Store(seen)
	o.watching.Go(func() {
		<-c.Done()
		seen.ended()
	})
	return seen, nil
}

// observed is a cell whose operations are counted and traced.
type observed struct {
	cell.Cell
	observer     *Observer
	tenant, name string
	measured     *Guest
	epoch        epoch // the last that an operation was for
}

// operation is one under way.
type operation struct {
	cell  *observed
	name  string
	began time.Time
	span  trace.Span
	ctx   context.Context
}

func (c *observed) begin(ctx context.Context, name, span string) (context.Context, operation) {
	if n := epochOf(ctx); n != 0 {
		c.epoch.Store(n)
	}
	of := operation{cell: c, name: name, began: time.Now()}
	if c.observer.Tracer != nil {
		ctx, of.span = c.observer.Tracer.Start(ctx, span)
		of.span.Text("pyisolate.tenant", c.tenant)
		of.span.Text("pyisolate.cell", c.name)
	}
	if parent := trace.Parent(ctx); parent != "" { // also a client's, where this node exports none
		ctx = launch.WithTrace(ctx, parent)
	}
	of.ctx = ctx
	return ctx, of
}

// end counts the operation. What a limit has ended is an event.
func (o operation) end(err error) {
	o.span.End(err)
	id := trace.ID(o.ctx)
	o.cell.observer.Metrics.Operation(o.name, Outcome(err), time.Since(o.began), id)
	if err != nil {
		o.cell.limited(o.ctx, o.name, err, id)
	}
}

// Exec implements cell.Cell.
func (c *observed) Exec(ctx context.Context, src cell.Source) error {
	ctx, op := c.begin(ctx, "exec", "cell.exec")
	err := c.Cell.Exec(ctx, src)
	op.end(err)
	return err
}

// Call implements cell.Cell.
func (c *observed) Call(ctx context.Context, inv cell.Invocation) (cell.Value, error) {
	ctx, op := c.begin(ctx, "call", "cell.call")
	v, err := c.Cell.Call(ctx, inv)
	op.end(err)
	return v, err
}

// Send implements cell.Cell.
func (c *observed) Send(ctx context.Context, v cell.Value) error {
	ctx, op := c.begin(ctx, "send", "cell.send")
	err := c.Cell.Send(ctx, v)
	op.end(err)
	if err == nil {
		c.observer.Metrics.Moved("in", len(v.Data))
	}
	return err
}

// Recv implements cell.Cell.
func (c *observed) Recv(ctx context.Context) (cell.Item, error) {
	ctx, op := c.begin(ctx, "recv", "cell.recv")
	item, err := c.Cell.Recv(ctx)
	op.end(err)
	if err == nil {
		c.observer.Metrics.Moved("out", len(item.Value.Data))
	}
	return item, err
}

// Inspect implements cell.Cell.
func (c *observed) Inspect(ctx context.Context) (cell.Report, error) {
	ctx, op := c.begin(ctx, "inspect", "cell.inspect")
	r, err := c.Cell.Inspect(ctx)
	op.end(err)
	return r, err
}

// Reload implements cell.Cell.
func (c *observed) Reload(ctx context.Context, r cell.Revision) (cell.Reloaded, error) {
	ctx, op := c.begin(ctx, "reload", "cell.reload")
	done, err := c.Cell.Reload(ctx, r)
	op.end(err)
	return done, err
}

// Snapshot implements cell.Cell.
func (c *observed) Snapshot(ctx context.Context, to func([]byte) error) (cell.Snapshot, error) {
	ctx, op := c.begin(ctx, "snapshot", "cell.snapshot")
	s, err := c.Cell.Snapshot(ctx, to)
	op.end(err)
	return s, err
}

// Restore implements cell.Cell.
func (c *observed) Restore(ctx context.Context, from io.Reader) error {
	ctx, op := c.begin(ctx, "restore", "cell.restore")
	err := c.Cell.Restore(ctx, from)
	op.end(err)
	return err
}

// Quarantine implements cell.Cell. It is an event here: for its actor, the cell goes on.
func (c *observed) Quarantine(ctx context.Context, reason string) error {
	ctx, op := c.begin(ctx, "quarantine", "cell.quarantine")
	err := c.Cell.Quarantine(ctx, reason)
	op.end(err)
	if err == nil {
		c.observer.publish(events.Event{Kind: events.CellQuarantined, Tenant: c.tenant, Cell: c.name, Epoch: c.epoch.Load(),
			Message: reason, Trace: trace.ID(ctx)})
	}
	return err
}

// Close implements cell.Cell.
func (c *observed) Close(ctx context.Context) error {
	ctx, op := c.begin(ctx, "close", "cell.close")
	err := c.Cell.Close(ctx)
	op.end(err)
	return err
}

package telemetry

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// epoch is an incarnation's number, 0 where it is not known.
type epoch = atomic.Uint64

// limited makes an event of an operation that one of the cell's limits has ended.
func (c *observed) limited(ctx context.Context, op string, err error, trace string) {
	var e *cell.Error
	if !errors.As(err, &e) {
		return
	}
	limit, kind := limitOf(ctx, e)
	if limit == "" {
		return
	}
	c.observer.Metrics.QuotaKill(limit)
	if kind != "" {
		c.observer.publish(events.Event{Kind: kind, Tenant: c.tenant, Cell: c.name, Epoch: c.epoch.Load(),
			Message: op + " was ended: " + e.Message, Trace: trace})
	}
}

// limitOf says which limit an error is about, "" for none, and of which kind the event is. What
// ended because its caller had no more time did not meet a limit.
func limitOf(ctx context.Context, e *cell.Error) (limit string, kind events.Kind) {
	switch e.Kind {
	case cell.MemoryExceeded:
		return "memory", events.MemKill
	case cell.CPUExceeded:
		if strings.Contains(e.Message, "the next window begins") {
			return "cpu_window", events.CPUThrottle
		}
		return "cpu", events.CPUKill
	case cell.Timeout:
		if e.Type == "" && !spent(ctx) { // or the guest has raised it, as recv does
			return "wall", events.WallKill
		}
	case cell.OutputExceeded:
		return "output", events.OutputKill
	case cell.ChildWorkExceeded:
		return "children", ""
	case cell.NetworkExceeded:
		return "network", ""
	}
	return "", ""
}

// early is how much before its caller's clock a host's may say that a deadline has passed.
const early = 50 * time.Millisecond

// spent reports whether the caller has no more time, or is about to have none.
func spent(ctx context.Context) bool {
	until, bounded := ctx.Deadline()
	return ctx.Err() != nil || bounded && time.Until(until) < early
}

// ended is called once, at the cell's end.
func (c *observed) ended() {
	o := c.observer
	c.measured.Gone()
	err := c.Err()
	if err == nil {
		return
	}
	// The kernel's programs end a cell that has used up the time of its life, whatever runs.
	if reason := err.Error(); strings.Contains(reason, string(cell.Killed)+": "+cell.CPUExceeded.String()) {
		o.Metrics.QuotaKill("cpu")
		o.publish(events.Event{Kind: events.CPUKill, Tenant: c.tenant, Cell: c.name, Epoch: c.epoch.Load(), Message: reason})
	}
}

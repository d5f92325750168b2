package telemetry

import (
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Replication is how a checkpoint was copied to other nodes.
type Replication struct {
	Tenant, Cell string
	Epoch        uint64
	ID           string // of the checkpoint
	// Wanted is how many other nodes were to have it, and Copies how many do.
	Wanted, Copies int
	Took           time.Duration
	Err            error // why there are fewer
}

// Replicated is told of copies that were made. Only that there are fewer than wanted is an event.
func (o *Observer) Replicated(r Replication) {
	if o == nil {
		return
	}
	outcome := "full"
	if r.Copies < r.Wanted {
		outcome = "short"
		o.publish(events.Event{Kind: events.CheckpointFailed, Tenant: r.Tenant, Cell: r.Cell, Epoch: r.Epoch,
			Message: fmt.Sprintf("checkpoint %.12s has %d copies on other nodes, and is to have %d: %v", r.ID, r.Copies, r.Wanted, r.Err)})
	}
	if m := o.Metrics; m != nil {
		m.replications.WithLabelValues(outcome).Inc()
	}
}

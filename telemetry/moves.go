package telemetry

import (
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Migration is a move of a cell to another node, as its source tells of it.
type Migration struct {
	Tenant, Cell string
	Epoch        uint64 // of the cell after it
	From, To     string // nodes
	Size         int64  // of its state, in bytes; 0: it was not taken out
	Paused, Took time.Duration
	Err          error // why it stays, or what became of it
}

// Migrated is told of a move that is over.
func (o *Observer) Migrated(m Migration) {
	if o == nil {
		return
	}
	e := events.Event{Kind: events.CellMigrated, Tenant: m.Tenant, Cell: m.Cell, Epoch: m.Epoch,
		Message: fmt.Sprintf("from node %s to node %s in %s, paused for %s, %d bytes", m.From, m.To, m.Took.Round(time.Millisecond), m.Paused.Round(time.Millisecond), m.Size)}
	if m.Err != nil {
		e.Kind, e.Message = events.MigrationFailed, fmt.Sprintf("not moved from node %s to node %s: %v", m.From, m.To, m.Err)
	}
	o.publish(e)
	if x := o.Metrics; x != nil {
		x.migrations.WithLabelValues(outcomes.of(Outcome(m.Err))).Inc()
		if m.Err == nil {
			x.paused.Observe(m.Paused.Seconds())
		}
	}
}

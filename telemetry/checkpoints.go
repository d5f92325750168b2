package telemetry

import (
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Checkpoint is one that was taken or restored, or could not be.
type Checkpoint struct {
	Tenant, Cell string
	Epoch        uint64
	// ID of the checkpoint, empty where there is none, and Size of its file in bytes.
	ID   string
	Size int64
	// Why it was taken: "request", "time", "messages" or "drain".
	Why  string
	Took time.Duration
	Err  error
}

// Checkpointed is told of a checkpoint that was kept, or could not be.
func (o *Observer) Checkpointed(c Checkpoint) {
	o.checkpoint("save", c, events.CellCheckpointed, fmt.Sprintf("checkpoint %.12s, %d bytes, in %s, by %s", c.ID, c.Size, c.Took.Round(time.Millisecond), c.Why), "no checkpoint by "+c.Why)
}

// Restored is told of a cell that has a checkpoint's state, or could not have it.
func (o *Observer) Restored(c Checkpoint) {
	o.checkpoint("restore", c, events.CellRestored, fmt.Sprintf("from checkpoint %.12s, %d bytes, in %s", c.ID, c.Size, c.Took.Round(time.Millisecond)), fmt.Sprintf("checkpoint %.12s could not be restored", c.ID))
}

func (o *Observer) checkpoint(op string, c Checkpoint, done events.Kind, message, failed string) {
	if o == nil {
		return
	}
	e := events.Event{Kind: done, Tenant: c.Tenant, Cell: c.Cell, Epoch: c.Epoch, Message: message}
	if c.Err != nil {
		e.Kind, e.Message = events.CheckpointFailed, failed+": "+c.Err.Error()
	}
	o.publish(e)
	if m := o.Metrics; m != nil {
		m.checkpoints.WithLabelValues(checkpointing.of(op), outcomes.of(Outcome(c.Err))).Observe(c.Took.Seconds())
		if c.Err == nil {
			m.checkpointed.WithLabelValues(checkpointing.of(op)).Add(float64(c.Size))
		}
	}
}

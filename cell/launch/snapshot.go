package launch

import (
	"context"
	"io"

	"github.com/pyisolate/pyisolate/cell"
)

// Snapshot takes the cell's state out and leaves it frozen.
func (c *handle) Snapshot(context.Context, func([]byte) error) (cell.Snapshot, error) {
	return cell.Snapshot{}, cell.Errorf(cell.NotCheckpointable, "this build takes no snapshots")
}

// Thaw lets a frozen cell go on.
func (c *handle) Thaw(context.Context) error { return nil }

// Restore puts a state into a cell in which nothing has run.
func (c *handle) Restore(context.Context, io.Reader) error {
	return cell.Errorf(cell.NotCheckpointable, "this build restores nothing")
}

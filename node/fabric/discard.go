package fabric

import (
	"context"
	"errors"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/directory"
)

// Discard implements server.Fabric. Only a cell that no node has can be given up by others than its owner.
func (f *Fabric) Discard(ctx context.Context, a actors.Address, epoch uint64) error {
	never := func(directory.Record) bool { return false }
	_, err := f.change(ctx, directory.Command{Op: directory.Release, Cell: cellOf(a), Epoch: epoch}, never)
	if errors.Is(err, cell.CellGone) {
		return nil
	}
	return err
}

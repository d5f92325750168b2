package main

import (
	"context"
	"fmt"

	"github.com/pyisolate/pyisolate/cell"
)

// crowdCells live at the same time, in one host.
const crowdCells = 1000

// tripCrowd times round trips to one after the other of many cells that wait: each is
// asked when it has been idle for as long as all the others take. Every cell answers,
// or the row fails.
func tripCrowd(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	cells := make([]cell.Cell, min(crowdCells, n))
	for i := range cells {
		if cells[i], err = spawnIdle(ctx, l, cell.SubInterpreter); err != nil {
			return nil, fmt.Errorf("cell %d of %d: %w", i+1, len(cells), err)
		}
		if err := cells[i].Exec(ctx, cell.Source{Code: []byte(echoSource)}); err != nil {
			return nil, fmt.Errorf("define the echo: %w", err)
		}
	}
	message, next := make([]byte, tripBytes), 0
	return timeTrips(max(n, len(cells)), func() error {
		guest := cells[next%len(cells)]
		next++
		v, err := guest.Call(ctx, cell.Invocation{Target: "echo", Raw: message})
		if err == nil && len(v.Data) != len(message) {
			err = fmt.Errorf("the echo of %d bytes has %d", len(message), len(v.Data))
		}
		return err
	})
}

package clustertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

// roundTime is for a move with all that goes wrong in it.
const roundTime = 3 * time.Minute

// Whatever happens to nodes and links while a cell is moved, it runs at one place at a time, and what it
// did, heard and posted is what it would be if it had stayed. -rounds says how often it is moved, -seed
// draws the same again. Rounds in which a node lost its lease by itself are judged as if it had died, and so there
// may be few of them.
func TestMigration(t *testing.T) {
	f := form(t, fabrictest.Options{})
	t.Logf("seed %d", *seed)
	j := &fabrictest.Journey{Fabric: f, Cell: "traveller", Seed: *seed, Ballast: 64 << 10}
	if err := j.Begin(within(t, time.Minute), "n1"); err != nil {
		t.Fatal(err)
	}
	lost, unheld := 0, 0
	for number, m := range fabrictest.Mishaps(*seed, f.Links(), *rounds) {
		ctx, cancel := context.WithTimeout(t.Context(), roundTime)
		seen, err := j.Round(ctx, func(ctx context.Context) (fabrictest.Leniency, error) { return j.Travel(ctx, m) })
		if seen.Lapsed != "" {
			t.Logf("%s lost a lease, and nothing was done to it", seen.Lapsed)
			unheld++
		}
		switch {
		case errors.Is(err, fabrictest.ErrLost):
			lost++
			again(ctx, t, j, number)
		case err != nil:
			t.Fatalf("%s: %v", m, err)
		default:
			added, told, heard := seen.Size()
			t.Logf("round %d, %s: %d added, %d told, %d received", number+1, m, added, told, heard)
		}
		cancel()
	}
	if err := j.StayClosed(within(t, time.Minute)); err != nil {
		t.Error(err)
	}
	t.Logf("%d rounds, in %d of which the cell was lost with its node; in %d a node lost its lease by itself", *rounds, lost, unheld)
	if unheld > 1+*rounds/50 {
		t.Errorf("in %d of %d rounds a node to which nothing was done lost its lease: is the machine too busy?", unheld, *rounds)
	}
}

// again spawns another cell in place of the one that is lost, whose name may wait for who restores it.
func again(ctx context.Context, t *testing.T, j *fabrictest.Journey, number int) {
	t.Helper()
	if err := j.End(ctx); err != nil {
		t.Error(err)
	}
	j.Cell = fmt.Sprint("traveller", number)
	var err error
	if !fabrictest.Until(ctx, func() bool {
		err = j.Begin(ctx, "n1")
		return err == nil
	}) {
		t.Fatal(err)
	}
}

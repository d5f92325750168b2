package clustertest

import (
	"context"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

// A cell that stays, with clients at every node, one of which is killed, is what a move is measured by: what
// goes wrong here is not of the move.
func TestStay(t *testing.T) {
	f := form(t, fabrictest.Options{})
	ctx := within(t, 2*time.Minute)
	j := &fabrictest.Journey{Fabric: f, Cell: "settler", Seed: *seed}
	if err := j.Begin(ctx, "n1"); err != nil {
		t.Fatal(err)
	}
	for _, hurt := range []bool{false, true} {
		seen, err := j.Round(ctx, func(ctx context.Context) (fabrictest.Leniency, error) {
			wait(ctx, time.Second)
			if !hurt {
				return fabrictest.Leniency{}, nil
			}
			err := f.Do(ctx, fabrictest.Fault{Kind: fabrictest.Kill, Node: "n2", Hold: time.Second})
			return fabrictest.Leniency{Broken: true}, err
		})
		added, told, heard := seen.Size()
		t.Logf("%d added, %d told, %d received", added, told, heard)
		if err != nil || added < 10 || told < 5 || heard < 10 {
			t.Errorf("a node is killed %t: %v", hurt, err)
		}
	}
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

const (
	// moves of the demonstration, and at which of them a node is killed.
	moves   = 20
	killing = 10
	// stay of the cell between two moves, in which it counts.
	stay = 150 * time.Millisecond
	// ballast is the state that it carries beside what it counts.
	ballast = 1 << 20
)

// demoMigration moves a cell from node to node while clients have it count, chat with it and hear it, and
// kills a node. What they saw is judged.
func demoMigration(ctx context.Context, f *fabrictest.Fabric) error {
	if err := f.Form(ctx); err != nil {
		return err
	}
	j := &fabrictest.Journey{Fabric: f, Cell: "traveller", Seed: 1, Ballast: ballast}
	if err := j.Begin(ctx, f.Nodes[0].Name); err != nil {
		return err
	}
	fmt.Printf("three nodes; the cell %q counts, and has a state of %d MiB\n\n%4s  %-10s %10s %7s\n", j.Cell, ballast>>20, "move", "way", "paused", "epoch")
	j.Ear = f.Nodes[1] // which is not killed
	t := &tour{Journey: j, ctx: ctx}
	seen, err := j.Round(ctx, func(context.Context) (fabrictest.Leniency, error) {
		for i := range moves {
			if err := t.move(i + 1); err != nil {
				return fabrictest.Leniency{}, err
			}
		}
		return fabrictest.Leniency{}, f.Converge(ctx)
	})
	if err != nil {
		return err
	}
	added, told, heard := seen.Size()
	fmt.Printf("\nit counted to %d, was told %d words, and %d items that it posted were received:\nno number is missing or there twice, and all came in their order\n", added, told, heard)
	return nil
}

// tour is the demonstration so far.
type tour struct {
	*fabrictest.Journey
	ctx context.Context
}

// move moves the cell to the next node, and at one of the moves kills the one that it has left.
func (t *tour) move(number int) error {
	report, err := t.Where(t.ctx)
	if err != nil {
		return err
	}
	nodes := t.Fabric.Nodes
	var from, to *fabrictest.Node
	for i, n := range nodes {
		if n.Name == report.GetNode() {
			from, to = n, nodes[(i+1)%len(nodes)]
		}
	}
	if from == nil {
		return fmt.Errorf("the cell is at %q", report.GetNode())
	}
	last, err := t.Move(t.ctx, from, to.Name, func(string) {})
	if err != nil {
		return fmt.Errorf("move %d, from %s to %s: %w", number, from.Name, to.Name, err)
	}
	fmt.Printf("%4d  %s -> %s   %10s %7d\n", number, from.Name, to.Name, last.GetPaused().AsDuration().Round(100*time.Microsecond), last.GetEpoch())
	if number == killing {
		return t.kill(from)
	}
	return rest(t.ctx, stay)
}

// kill ends a node that the cell has left, and starts it again.
func (t *tour) kill(victim *fabrictest.Node) error {
	fmt.Printf("      %s is killed\n", victim.Name)
	if err := victim.Kill(); err != nil {
		return err
	}
	if err := rest(t.ctx, stay); err != nil {
		return err
	}
	fmt.Printf("      %s comes back\n", victim.Name)
	if err := victim.Start(); err != nil {
		return err
	}
	return t.Fabric.Converge(t.ctx)
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

// migrate is how long a cell with a state of so many bytes, which do not compress, pauses when it is moved
// from node to node.
func migrate(ctx context.Context, f *fabrictest.Fabric, size, times int) (all []float64, err error) {
	j := &fabrictest.Journey{Fabric: f, Cell: fmt.Sprintf("heavy%d", size), Ballast: size}
	if err := j.Begin(ctx, f.Nodes[0].Name); err != nil {
		return nil, err
	}
	for i := range times {
		from, to := f.Nodes[i%len(f.Nodes)], f.Nodes[(i+1)%len(f.Nodes)]
		last, err := j.Move(ctx, from, to.Name, func(string) {})
		if err != nil {
			return nil, err
		}
		all = append(all, float64(last.GetPaused().AsDuration().Microseconds())/1e3)
	}
	_, err = f.Nodes[0].Client.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: j.Cell}))
	return all, err
}

// migrated is the row of such moves.
func migrated(size, times int) measure {
	return func(ctx context.Context, f *fabrictest.Fabric) ([]float64, error) {
		return migrate(ctx, f, size, times)
	}
}

// crowd is how many cells a node has that is drained.
const crowd = 200

// drain is how long a node with a crowd of cells, each with a little state, takes until it has none.
func drain(ctx context.Context, f *fabrictest.Fabric) ([]float64, error) {
	from, by := f.Nodes[2], f.Nodes[0]
	if err := populate(ctx, by, from.Name); err != nil {
		return nil, err
	}
	began := time.Now()
	answer, err := by.Client.Cluster.Drain(ctx, connect.NewRequest(&pb.DrainRequest{Node: from.Name, Grace: durationpb.New(time.Second)}))
	took := time.Since(began).Seconds()
	if err != nil {
		return nil, err
	}
	for _, m := range answer.Msg.GetMoved() {
		if m.GetError() != "" {
			return nil, fmt.Errorf("%s was not moved: %s", m.GetCell().GetName(), m.GetError())
		}
	}
	if n := len(answer.Msg.GetMoved()); n < crowd {
		return nil, fmt.Errorf("%d cells were moved of %d", n, crowd)
	}
	// It takes cells again when it was started again, and the others are rid of the crowd.
	err = each(func(i int) error {
		_, err := by.Client.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: fmt.Sprint("crowd", i)}))
		return err
	})
	return []float64{took}, errors.Join(err, from.Terminate(), from.Start(), f.Converge(ctx))
}

// populate starts a crowd of cells on a node, each of which has a state.
func populate(ctx context.Context, by *fabrictest.Node, node string) error {
	return each(func(i int) error {
		name := fmt.Sprint("crowd", i)
		if _, err := by.Client.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Name: name, Placement: &pb.Placement{Node: node}})); err != nil {
			return err
		}
		_, err := by.Client.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: name, Code: "kept = list(range(1000))"}))
		return err
	})
}

// each does something for each of the crowd, some at the same time.
func each(do func(i int) error) error {
	var workers sync.WaitGroup
	failed := make([]error, 8)
	for w := range failed {
		workers.Go(func() {
			for i := w; i < crowd && failed[w] == nil; i += len(failed) {
				failed[w] = do(i)
			}
		})
	}
	workers.Wait()
	return errors.Join(failed...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// withNode runs a measurement on a node of its own.
func withNode(measure func(ctx context.Context, n *benchNode, samples int, r *benchResult) ([]float64, error)) measurement {
	return func(ctx context.Context, b *bench, samples int, r *benchResult) (out []float64, err error) {
		defer collectSeldom()()
		n, err := b.node(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, n.close()) }()
		return measure(ctx, n, samples, r)
	}
}

// echoCall calls a cell's echo with 1 kB.
func echoCall(ctx context.Context, c api.CellServiceClient, name string, message []byte) error {
	answer, err := c.Call(ctx, connect.NewRequest(&pb.CallRequest{Tenant: "bench", Name: name, Target: "echo", Raw: message}))
	if err == nil && len(answer.Msg.GetValue().GetRaw()) != len(message) {
		err = fmt.Errorf("the echo of %d bytes has %d", len(message), len(answer.Msg.GetValue().GetRaw()))
	}
	return err
}

// apiCall times calls of 1 kB and back, one after the other.
func apiCall(json bool) measurement {
	return withNode(func(ctx context.Context, n *benchNode, samples int, _ *benchResult) ([]float64, error) {
		if err := n.spawn(ctx, "echo", "", echoSource); err != nil {
			return nil, err
		}
		return timeCalls(ctx, n.benchSocket, json, samples)
	})
}

// timeCalls times calls of a cell's echo.
func timeCalls(ctx context.Context, s *benchSocket, json bool, samples int) ([]float64, error) {
	c, message := s.cells(json), make([]byte, tripBytes)
	return timeTrips(samples, func() error { return echoCall(ctx, c, "echo", message) })
}

const (
	callers     = 16
	calledCells = 4
	callsSample = 250 * time.Millisecond
)

// apiCalls counts calls of a node's cells.
func apiCalls(ctx context.Context, n *benchNode, samples int, r *benchResult) ([]float64, error) {
	for i := range calledCells {
		if err := n.spawn(ctx, fmt.Sprint("echo", i), "", echoSource); err != nil {
			return nil, err
		}
	}
	r.addNote(fmt.Sprintf("gRPC, %d callers of %d cells", callers, calledCells))
	out, used, err := countCalls(ctx, n.benchSocket, samples)
	r.addNote(fmt.Sprintf("%d us of processor time a call, the client's included", used.Microseconds()))
	return out, err
}

// countCalls counts calls a second of many callers, and the processor time that one takes.
func countCalls(ctx context.Context, s *benchSocket, samples int) (out []float64, each time.Duration, err error) {
	c, message := s.cells(false), make([]byte, tripBytes)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var done atomic.Int64
	var calling sync.WaitGroup
	failed := make(chan error, callers)
	for i := range callers {
		calling.Go(func() {
			for ctx.Err() == nil {
				if err := echoCall(ctx, c, fmt.Sprint("echo", i%calledCells), message); err != nil {
					if ctx.Err() == nil {
						failed <- err
					}
					return
				}
				done.Add(1)
			}
		})
	}
	defer calling.Wait()
	defer stop()
	used, before := processorTime(), done.Load()
	out, err = rates(ctx, samples, &done, failed)
	calls := max(1, done.Load()-before)
	return out, (processorTime() - used) / time.Duration(calls), err
}

// rates are what is counted a second, in periods.
func rates(ctx context.Context, samples int, done *atomic.Int64, failed <-chan error) (out []float64, err error) {
	for range samples {
		before, begun := done.Load(), time.Now()
		if err := wait(ctx, callsSample); err != nil {
			return nil, err
		}
		out = append(out, float64(done.Load()-before)/time.Since(begun).Seconds())
		select {
		case err := <-failed:
			return nil, err
		default:
		}
	}
	return out, nil
}

// benchStreams are open at the same time, on one cell each.
const (
	benchStreams = 1000
	streamCells  = 10
)

// apiStreams times a post until it has come out of one of many streams that are open.
func apiStreams(ctx context.Context, n *benchNode, samples int, r *benchResult) ([]float64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c, came := n.cells(false), make(chan error, benchStreams)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	for i := range benchStreams {
		name := fmt.Sprintf("s%d", i%streamCells)
		if i < streamCells {
			if err := n.spawn(ctx, name, "", ""); err != nil {
				return nil, err
			}
		}
		s, err := c.Stream(ctx, connect.NewRequest(&pb.StreamRequest{Tenant: "bench", Name: name}))
		if err != nil {
			return nil, fmt.Errorf("stream %d: %w", i+1, err)
		}
		reading.Go(func() {
			defer func() { _ = s.Close() }()
			for s.Receive() {
				came <- nil
			}
			came <- s.Err()
		})
	}
	r.addNote(fmt.Sprintf("%d streams of %d cells", benchStreams, streamCells))
	i := 0
	return timeTrips(samples, func() error {
		i++
		_, err := c.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: "bench", Name: fmt.Sprintf("s%d", i%streamCells), Code: "post(1)"}))
		if err != nil {
			return err
		}
		return <-came
	})
}

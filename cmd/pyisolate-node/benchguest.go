package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// tripBytes is the message of the round trips, as the peers' scripts have it.
const tripBytes = 1024

// tripWarmup round trips are made before those that count.
const tripWarmup = 500

const echoSource = "def echo(b): return b"

func tripNode(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	guest, err := spawnIdle(ctx, l, cell.SubInterpreter)
	if err != nil {
		return nil, err
	}
	if err := guest.Exec(ctx, cell.Source{Code: []byte(echoSource)}); err != nil {
		return nil, fmt.Errorf("define the echo: %w", err)
	}
	message := make([]byte, tripBytes)
	return timeTrips(n, func() error {
		v, err := guest.Call(ctx, cell.Invocation{Target: "echo", Raw: message})
		if err == nil && len(v.Data) != len(message) {
			err = fmt.Errorf("the echo of %d bytes has %d", len(message), len(v.Data))
		}
		return err
	})
}

// timeTrips is the microseconds of each of n round trips, after the warm-up.
func timeTrips(n int, trip func() error) ([]float64, error) {
	samples := make([]float64, 0, n)
	for i := range tripWarmup + n {
		begun := time.Now()
		if err := trip(); err != nil {
			return nil, fmt.Errorf("round trip: %w", err)
		}
		if i >= tripWarmup {
			samples = append(samples, micros(time.Since(begun)))
		}
	}
	return samples, nil
}

// settleTime lets the guest get into its loop after it has said so.
const settleTime = 2 * time.Millisecond

// killBytecode times the withdrawal of a busy loop. The cell lives on, and runs
// the next one.
func killBytecode(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	guest, err := spawnIdle(ctx, l, cell.SubInterpreter)
	if err != nil {
		return nil, err
	}
	samples := make([]float64, 0, n)
	for range n {
		took, err := killOnce(ctx, guest)
		if err != nil {
			return nil, err
		}
		samples = append(samples, micros(took))
	}
	return samples, nil
}

func killOnce(ctx context.Context, guest cell.Cell) (time.Duration, error) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		answered <- guest.Exec(running, cell.Source{Code: []byte("post(1)\nwhile True: pass")})
	}()
	err := awaitPost(ctx, guest)
	if err == nil {
		err = wait(ctx, settleTime)
	}
	begun := time.Now()
	cancel()
	ended := <-answered
	took := time.Since(begun)
	if err != nil {
		return 0, err
	}
	if !errors.Is(ended, cell.Cancelled) {
		return 0, fmt.Errorf("a cancelled loop ended with %w", ended)
	}
	return took, nil
}

// awaitPost skips how earlier loops failed, which comes through the outbox too.
func awaitPost(ctx context.Context, guest cell.Cell) error {
	for {
		item, err := guest.Recv(ctx)
		if err != nil {
			return fmt.Errorf("wait for the loop: %w", err)
		}
		if item.Err == nil {
			return nil
		}
	}
}

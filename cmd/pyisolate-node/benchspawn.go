package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// warmPool is deep enough that the pause between two samples refills it;
// refillPause is several times the start of a cell.
const (
	warmPool    = 32
	refillPause = 10 * time.Millisecond
	fillTimeout = 20 * time.Second
)

const noPool = -1

func spawnWarm(ctx context.Context, b *bench, n int, r *benchResult) ([]float64, error) {
	samples, rate, err := b.pooled(ctx, cell.SubInterpreter, n)
	r.HitRate = &rate
	return samples, err
}

func spawnCold(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
	return b.unpooled(ctx, cell.SubInterpreter, n)
}

func spawnProcess(ctx context.Context, b *bench, n int, r *benchResult) ([]float64, error) {
	pooled, rate, err := b.pooled(ctx, cell.Process, n)
	if err != nil {
		return nil, err
	}
	r.PoolP50 = quantile(pooled, 0.5)
	if rate < 1 {
		r.addNote(fmt.Sprintf("%.0f %% of pool_p50's samples were from the pool", 100*rate))
	}
	return b.unpooled(ctx, cell.Process, n)
}

// pooled spawns from a pool that is full again before each sample, and says
// which part of the samples it served.
func (b *bench) pooled(ctx context.Context, backend cell.Backend, n int) (samples []float64, rate float64, err error) {
	l, err := b.launcher(ctx, warmPool)
	if err != nil {
		return nil, 0, err
	}
	defer closeLauncher(l)
	if err := fillPool(ctx, l, backend); err != nil {
		return nil, 0, err
	}
	before := l.Stats()
	samples, err = spawnEach(ctx, l, backend, n, refillPause)
	after := l.Stats()
	since := launch.Stats{PoolHits: after.PoolHits - before.PoolHits, PoolMisses: after.PoolMisses - before.PoolMisses}
	return samples, since.HitRate(), err
}

// unpooled spawns in a host that runs already and keeps no cells ready.
func (b *bench) unpooled(ctx context.Context, backend cell.Backend, n int) ([]float64, error) {
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	if _, err := spawnEach(ctx, l, backend, 3, 0); err != nil {
		return nil, err
	}
	return spawnEach(ctx, l, backend, n, refillPause/5)
}

// fillPool returns when a claim has been served from the pool and the rest of
// it has had the time to start.
func fillPool(ctx context.Context, l *launch.Launcher, backend cell.Backend) error {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	for l.Stats().PoolHits == 0 {
		if _, err := spawnEach(ctx, l, backend, 1, warmPool*refillPause); err != nil {
			return fmt.Errorf("fill the pool: %w", err)
		}
	}
	return nil
}

// spawnEach times n cells one after the other, each from the claim to its first
// result, in microseconds.
func spawnEach(ctx context.Context, l *launch.Launcher, backend cell.Backend, n int, pause time.Duration) ([]float64, error) {
	samples := make([]float64, 0, n)
	for range n {
		begun := time.Now()
		guest, err := spawnIdle(ctx, l, backend)
		if err != nil {
			return nil, err
		}
		samples = append(samples, micros(time.Since(begun)))
		if err := guest.Close(ctx); err != nil {
			return nil, fmt.Errorf("close a cell: %w", err)
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// spawnIdle returns a cell that has run its first statement.
func spawnIdle(ctx context.Context, l *launch.Launcher, backend cell.Backend) (cell.Cell, error) {
	guest, err := l.Spawn(ctx, cell.Spec{Tenant: "bench", Backend: backend})
	if err != nil {
		return nil, fmt.Errorf("spawn a cell: %w", err)
	}
	if err := guest.Exec(ctx, cell.Source{Code: []byte("pass")}); err != nil {
		return nil, errors.Join(fmt.Errorf("run in a new cell: %w", err), guest.Close(ctx))
	}
	return guest, nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

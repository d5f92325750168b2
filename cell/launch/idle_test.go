package launch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
)

// until waits for a state of the launcher.
func until(t *testing.T, l *launch.Launcher, what string, ok func(launch.Stats) bool) {
	t.Helper()
	await.That(t, what, func() bool { return ok(l.Stats()) })
}

func hostPID(t *testing.T, c cell.Cell) int {
	t.Helper()
	r, err := c.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.HostPID
}

func closed(t *testing.T, c cell.Cell) {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestIdleHostEndsAndComesBack(t *testing.T) {
	l := launcher(t, launch.Config{IdleTimeout: 20 * time.Millisecond})
	for round := range uint64(3) {
		c := spawn(t, l, cell.Spec{})
		pid := hostPID(t, c)
		if err := run(c, ""); err != nil {
			t.Error(err)
		}
		closed(t, c)
		until(t, l, "no host", func(s launch.Stats) bool { return s.Hosts == 0 && s.Idle == round+1 })
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("host %d is still there: %v", pid, err)
		}
	}
	if s := l.Stats(); s.Restarts != 0 {
		t.Errorf("an idle host counts as one that died: %+v", s)
	}
}

// Another tenant's hosts, which come and go, are the clock.
func TestHostWithACellStays(t *testing.T) {
	l := launcher(t, launch.Config{IdleTimeout: 20 * time.Millisecond})
	c := spawn(t, l, cell.Spec{})
	pid := hostPID(t, c)
	for round := range uint64(3) {
		closed(t, spawn(t, l, cell.Spec{Tenant: "other"}))
		until(t, l, "the other host's end", func(s launch.Stats) bool { return s.Idle == round+1 })
	}
	if err := run(c, ""); err != nil || hostPID(t, c) != pid {
		t.Errorf("the cell's host %d: %v", pid, err)
	}
}

func TestIdleHostThatNobodyAskedFor(t *testing.T) {
	l := launcher(t, launch.Config{IdleTimeout: 20 * time.Millisecond, BackoffFirst: time.Millisecond})
	if err := run(spawn(t, l, cell.Spec{}), "crash"); !errors.Is(err, cell.CellGone) {
		t.Fatal(err)
	}
	until(t, l, "the end of the host that came after the crash", func(s launch.Stats) bool { return s.Hosts == 0 && s.Idle == 1 })
}

// Spawns that come just when their host ends get another, whoever of them gives up.
func TestSpawnsAtTheEdgeOfIdleness(t *testing.T) {
	for _, timeout := range []time.Duration{time.Nanosecond, 3 * time.Millisecond} {
		t.Run(timeout.String(), func(t *testing.T) {
			l := launcher(t, launch.Config{IdleTimeout: timeout, PoolSize: 1})
			each := 40
			if testing.Short() {
				each = 10
			}
			var all sync.WaitGroup
			for w := range 6 {
				all.Go(func() {
					for i := range each {
						time.Sleep(time.Duration(i%5) * time.Millisecond)
						if err := life(l, fmt.Sprint("t", w%2)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Go(func() {
				for i := range each {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
					c, err := l.Spawn(ctx, cell.Spec{Tenant: fmt.Sprint("t", i%3)})
					cancel()
					if err == nil {
						err = c.Close(context.Background())
					}
					if err != nil && !errors.Is(err, cell.Timeout) {
						t.Errorf("a spawn of little time: %v", err)
					}
				}
			})
			all.Wait()
			until(t, l, "the end of all hosts", func(s launch.Stats) bool { return s.Hosts == 0 })
		})
	}
}

func life(l *launch.Launcher, tenant string) error {
	c, err := l.Spawn(context.Background(), cell.Spec{Tenant: tenant})
	if err != nil {
		return fmt.Errorf("spawn: %w", err)
	}
	if err := run(c, "post 1"); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	return c.Close(context.Background())
}

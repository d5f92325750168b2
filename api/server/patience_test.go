package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
)

// How long a move waits for a state of which more comes until then.
func TestPatience(t *testing.T) {
	for name, c := range map[string]struct{ until, want time.Duration }{
		"nothing comes":       {0, reservedFor},
		"it has come":         {time.Minute, reservedFor},
		"it stops":            {5 * time.Minute, 5*time.Minute + quietFor},
		"it does not end":     {time.Hour, stateWithin},
		"it stops just there": {reservedFor, reservedFor + quietFor},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := aMove(nil)
				m.entry, m.asked = newEntry(cellKey{"default", "web"}, terms{}, actors.ID{}), time.Now()
				ctx, giveUp := context.WithCancelCause(t.Context())
				go m.loseHeart(ctx, giveUp)
				go func() {
					for ctx.Err() == nil && time.Since(m.asked) < c.until {
						m.set(func(s *stage) { s.copied++ })
						time.Sleep(time.Second)
					}
				}()
				<-ctx.Done()
				if took := time.Since(m.asked); took < c.want || took >= c.want+quietFor {
					t.Errorf("it is given up after %s", took)
				}
				if err := context.Cause(ctx); !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "node n2") {
					t.Errorf("it says %v", err)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// What is reserved for a cell is kept while the state of that comes.
func TestRoomIsKeptWhileAStateComes(t *testing.T) {
	for name, c := range map[string]struct{ until, want time.Duration }{
		"nothing comes": {0, reservedFor},
		"it stops":      {5 * time.Minute, 5*time.Minute + quietFor},
	} {
		t.Run(name, func(t *testing.T) {
			archive, file := sealedState(t)
			synctest.Test(t, func(t *testing.T) {
				at := newTransfers(context.Background(), &cells{checkpoints: &Checkpoints{Archive: archive}})
				v := &reservation{resident: &resident{cell: alive{}}, taken: make(chan struct{})}
				began, over := time.Now(), make(chan struct{})
				go func() { at.watch(v); close(over) }()
				time.Sleep(time.Second)
				if c.until > 0 {
					arrival, err := archive.Incoming("move", "default")
					if err != nil {
						t.Fatal(err)
					}
					at.mu.Lock()
					v.arrival = arrival
					at.mu.Unlock()
					for n := int64(0); time.Since(began) < c.until; n++ {
						if err := arrival.Append(n, file[n:n+1]); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Second)
					}
				}
				<-over
				if took := time.Since(began); took < c.want || took >= c.want+quietFor {
					t.Errorf("it is given up after %s", took)
				}
			})
		})
	}
}

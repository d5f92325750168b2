package actors

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// deadLetters counts what did not reach a cell.
type deadLetters struct {
	mu      sync.Mutex
	reasons map[string]uint64
	logged  time.Time
}

// Dead counts an envelope that is not delivered, under a reason of few. One a second is logged.
func (s *System) Dead(env Envelope, reason string) {
	d := &s.lost
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reasons == nil {
		d.reasons = map[string]uint64{}
	}
	d.reasons[reason]++
	if now := time.Now(); now.Sub(d.logged) >= time.Second {
		d.logged = now
		s.options.Logger.Info("a message is not delivered", "cell", env.To.String(), "id", env.ID.String(), "principal", env.Principal, "reason", reason)
	}
}

// DeadLetters returns how many envelopes did not reach a cell, by why: "no such cell", "no
// credit", "stale epoch", "stale life", "moved", "the actor has ended".
func (s *System) DeadLetters() map[string]uint64 {
	d := &s.lost
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.reasons)
}

// undelivered answers what protoactor could not deliver.
func (s *System) undelivered(event any) {
	d, is := event.(*actor.DeadLetterEvent)
	if !is {
		return
	}
	if m, is := d.Message.(*request); is {
		s.Dead(m.env, "the actor has ended")
		m.fail(0, m.ended())
	}
}

// quiet leaves out what protoactor tells of itself when nothing is wrong.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{h.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (h quiet) WithGroup(name string) slog.Handler { return quiet{h.Handler.WithGroup(name)} }

package actors

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// A Loss is why an envelope does not reach a cell.
type Loss int

// The losses. The last ones are of what comes from other nodes and goes to them.
const (
	NoSuchCell Loss = iota
	NoCredit        // too much waits for the cell
	StaleEpoch      // it was for another incarnation
	StaleLife       // it was for another cell of the name
	HasMoved        // who asked did not look the name up again
	ActorEnded
	StaleSession // it was for the node as it was before a restart
	NodeOverloaded
	NoWay

	losses
)

var lossNames = [losses]string{NoSuchCell: "no such cell", NoCredit: "no credit", StaleEpoch: "stale epoch", StaleLife: "stale life",
	HasMoved: "moved", ActorEnded: "the actor has ended", StaleSession: "stale session", NodeOverloaded: "the node has too much to answer",
	NoWay: "no way to its node"}

// String is what logs and metrics call it.
func (l Loss) String() string { return lossNames[l] }

// deadLetters counts what did not reach a cell.
type deadLetters struct {
	mu     sync.Mutex
	counts [losses]uint64
	logged time.Time
}

// Dead counts an envelope that is not delivered. One a second is logged.
func (s *System) Dead(env Envelope, why Loss) {
	d := &s.lost
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[why]++
	if now := time.Now(); now.Sub(d.logged) >= time.Second {
		d.logged = now
		s.options.Logger.Info("a message is not delivered", "cell", env.To.String(), "id", env.ID.String(), "principal", env.Principal, "reason", why.String())
	}
}

// DeadLetters returns how many envelopes did not reach a cell, by the name of each loss, also of
// those that have not happened.
func (s *System) DeadLetters() map[string]uint64 {
	d := &s.lost
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := make(map[string]uint64, losses)
	for l, n := range d.counts {
		counts[Loss(l).String()] = n
	}
	return counts
}

// undelivered answers what protoactor could not deliver.
func (s *System) undelivered(event any) {
	d, is := event.(*actor.DeadLetterEvent)
	if !is {
		return
	}
	if m, is := d.Message.(*request); is {
		s.Dead(m.env, ActorEnded)
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

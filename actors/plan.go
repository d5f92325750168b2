package actors

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// Plan is what a cell is started by, and kept alive.
type Plan struct {
	// Life tells the cell from others that have its name before and after it; "" where nobody asks.
	Life string
	// Of is told again with each [Event] of the actor: another that has the name before or after it, or the same cell
	// there once more, is not it.
	Of any
	// Start makes the cell: the first time in Spawn, and again after each end that Restart
	// answers. The epoch is the incarnation's. What Start needs beside the cell it
	// gives back itself when the cell is done.
	Start func(ctx context.Context, epoch uint64) (cell.Cell, error)
	// Next is asked for the epoch of each incarnation before its Start, by the goroutine that calls
	// it; last is that of the one before, 0 for the first. It answers with a higher one, or with why
	// there is to be none. Nil counts: 1, 2, 3.
	Next    func(ctx context.Context, last uint64) (epoch uint64, err error)
	Restart Restart
	Credit  Credit
	// Topics that the cell hears from its start on, whatever its grants say. With Carried, which of
	// those that it hears are so; the others it subscribed to itself.
	Topics []string
	// Carried is what a cell that comes from elsewhere begins with; nil: one that is new. It has its
	// place here before Next is asked, which may have it agreed that the cell is here: what it is asked
	// from then on waits until it runs. Where Start fails, it gives the cell to another node before it
	// returns: what waits is then ErrMoved.
	Carried *Carried
}

// start makes the incarnation after the one of epoch last, and says which it is; with an error it
// may be one that was not to be had. A panic is an error of this cell alone.
func (p Plan) start(ctx context.Context, last uint64) (c cell.Cell, epoch uint64, err error) {
	defer recovered(&err)
	epoch = last + 1
	if p.Next != nil {
		next, err := p.Next(ctx, last)
		switch {
		case err != nil:
			return nil, last, err
		case next <= last:
			return nil, last, fmt.Errorf("the epoch after %d is said to be %d", last, next)
		}
		epoch = next
	}
	c, err = p.Start(ctx, epoch)
	return c, epoch, err
}

// recovered makes a panic an error. It is deferred.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// When a cell is started again.
type When string

const (
	// Never, the default: its end is an end.
	Never When = "never"
	// OnFailure: when it ended by itself, otherwise than by Close.
	OnFailure When = "on-failure"
)

// Restart says when a cell that has ended is started again.
type Restart struct {
	When When
	// Max is how often within Within; one more is too often, and it is quarantined. Default 5
	// in a minute.
	Max    int
	Within time.Duration
	// First is the pause before the first start within Within; it doubles with each, up to Most.
	// Default 100 ms, up to 10 s.
	First, Most time.Duration
}

func (r Restart) withDefaults() Restart {
	if r.When == "" {
		r.When = Never
	}
	if r.Max == 0 {
		r.Max = 5
	}
	if r.Within == 0 {
		r.Within = time.Minute
	}
	if r.First == 0 {
		r.First = 100 * time.Millisecond
	}
	if r.Most == 0 {
		r.Most = 10 * time.Second
	}
	return r
}

// pause is how long to wait after so many failures within Within.
func (r Restart) pause(failures int) time.Duration {
	p := r.First
	for range failures - 1 {
		if p *= 2; p >= r.Most {
			return r.Most
		}
	}
	return p
}

// Event is something that happened to a cell.
type Event struct {
	Kind  EventKind
	Cell  Address
	Of    any // of its Plan
	Epoch uint64
	// Reason is why, in words; Err is what the incarnation ended with, nil when it was closed.
	Reason string
	Err    error
	At     time.Time
}

// EventKind is what happened.
type EventKind string

const (
	// Started: an incarnation runs.
	Started EventKind = "started"
	// Ended: it has ended, and stays so.
	Ended EventKind = "ended"
	// Restarting: it has ended, and is started again after a pause.
	Restarting EventKind = "restarting"
	// Quarantined: it has ended, too often or after it was quarantined by request, and is kept
	// for Options.Hold.
	Quarantined EventKind = "quarantined"
	// Left: it has given its name back.
	Left EventKind = "left"
	// MovedAway: it is on another node, in Epoch there; nothing else is told of it here.
	MovedAway EventKind = "moved"
)

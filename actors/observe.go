package actors

import (
	"context"
	"time"
)

// Operation is something that a cell is about to do for an envelope.
type Operation struct {
	Envelope Envelope
	Epoch    uint64
	// Waited is how long it was on its way, and waited for what came before it.
	Waited time.Duration
}

// Name of a body: exec, call, send, snapshot, move, recv, inspect, reload, quarantine, kill or close.
func Name(b Body) string {
	switch b.(type) {
	case Exec:
		return "exec"
	case Call:
		return "call"
	case Post:
		return "send"
	case Snapshot:
		return "snapshot"
	case Move:
		return "move"
	case Recv:
		return "recv"
	case Inspect:
		return "inspect"
	case Reload:
		return "reload"
	case Quarantine:
		return "quarantine"
	case Kill:
		return "kill"
	case Close:
		return "close"
	}
	return "unknown"
}

// Stats are of now.
type Stats struct {
	// Names that cells hold, Ended those of cells that only keep theirs.
	Names, Ended int
	// Waiting envelopes are not answered yet, with Bytes in all; Aside are those beside them
	// that wait for nobody.
	Waiting, Bytes, Aside int
}

// Stats counts.
func (s *System) Stats() (t Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.all {
		t.Names++
		if a.idle.Load() {
			t.Ended++
		}
		a.gate.mu.Lock()
		t.Waiting += a.gate.count
		t.Bytes += a.gate.bytes
		t.Aside += a.gate.waits + a.gate.looks
		a.gate.mu.Unlock()
	}
	return t
}

// observe tells who observes what is about to be done: the context is for it, and done is told
// what became of it.
func (s *System) observe(r *request, epoch uint64) (ctx context.Context, done func(Reply)) {
	if s.options.Observe == nil {
		return r.ctx, func(Reply) {}
	}
	return s.options.Observe(r.ctx, Operation{r.env, epoch, time.Since(r.sent)})
}

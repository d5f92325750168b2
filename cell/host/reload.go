package host

import (
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// ringLimits are the limits that the cell itself keeps.
func ringLimits(l cell.Limits) ring.Limits {
	return ring.Limits{Memory: l.Memory, MessageBytes: uint32(l.MessageBytes), Children: uint32(l.Children), Files: uint32(l.Files)}
}

// bounded is a Worker that the kernel bounds by its cell's limits, too.
type bounded interface {
	// Bound replaces the bounds of one set of limits by those of another, and says in words
	// what it could not.
	Bound(from, to cell.Limits) (missing []string)
}

// reload replaces the rules and the limits, whatever runs in the cell. Until the cell has
// answered its claim it may still put on the bounds of before: then the reload waits. The answer
// is queued: who calls flushes it.
func (g *guest) reload(m *wire.Msg, r *wire.Reload) {
	g.mu.Lock()
	if !g.begun {
		g.reloads = append(g.reloads, func() { g.reload(m, r) })
		g.mu.Unlock()
		return
	}
	before := g.limits
	g.mu.Unlock()
	limits := wire.ToLimits(r.GetLimits()).WithDefaults()
	err := limits.Validate()
	if err == nil {
		err = g.slot.region.SetRules(ringLimits(limits), m.Payload)
	}
	if err != nil {
		g.srv.refuse(m, cell.Errorf(cell.Invalid, "reload: %v", err))
		return
	}
	reloaded := &wire.Reloaded{}
	if limits != before {
		g.limit(limits)
	}
	if b, ok := g.slot.worker.(bounded); ok { // also what was asked for before may be missing
		reloaded.Missing = b.Bound(before, limits)
	}
	if limits != before {
		g.watchBudget()
	}
	_ = g.srv.conn.Queue(wire.New(g.id, m.Op, &wire.Control_Reloaded{Reloaded: reloaded}, nil))
}

// begin is called when the cell has answered its claim.
func (g *guest) begin() {
	g.mu.Lock()
	waiting := g.reloads
	g.begun, g.reloads = true, nil
	g.mu.Unlock()
	for _, reload := range waiting {
		reload()
	}
	if len(waiting) > 0 {
		_ = g.srv.conn.Flush()
	}
}

// limit makes l the limits that are kept here. What is under way by the larger ones of before
// is let through: the guest has not done wrong.
func (g *guest) limit(l cell.Limits) {
	used := g.budget.used()
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.limits
	g.limits = l
	g.inbox.items, g.inbox.bytes = l.QueueItems, wire.QueueBytes(l)
	g.outbox.items += l.QueueItems - before.QueueItems
	g.outbox.debt = max(g.outbox.debt, wire.Overdraft(l))
	g.outbox.changed.Broadcast()
	if most := max(g.frameLimit, wire.FrameBytes(l)); most != g.frameLimit {
		g.frameLimit = most
		g.slot.region.LimitFrame(most)
	}
	g.budget.limit(l, used)
	if e := g.refusal; e != nil && g.state == cell.Running && !g.refusalIsFinal() && g.within(e.Kind, used) {
		g.refusal = nil
	}
	if e := g.halted; e != nil && g.within(e.Kind, used) {
		g.halted = nil
	}
	if op := g.current; op != nil && l.Wall != before.Wall {
		if op.wall != nil {
			op.wall.Stop()
		}
		g.boundWall(op, time.Since(op.began))
	}
}

// within reports, under mu, whether the limit of the kind, which was passed, is not any more.
func (g *guest) within(kind cell.Kind, used time.Duration) bool {
	switch kind {
	case cell.OutputExceeded:
		return g.limits.Output == 0 || g.count.Output <= g.limits.Output
	case cell.CPUExceeded:
		return g.limits.CPU == 0 || used < g.limits.CPU
	default:
		return false
	}
}

// boundWall starts, under mu, the clock of an operation that has run for some time.
func (g *guest) boundWall(op *operation, already time.Duration) {
	wall := g.limits.Wall
	op.wall = nil
	if wall == 0 || op.moves() {
		return
	}
	op.wall = time.AfterFunc(max(0, wall-already), func() {
		g.interrupt(op, cell.Errorf(cell.Timeout, "wall time limit of %s passed", wall), g.srv.killGrace)
	})
}

package launch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// gateLayer is the guest's own gate, the one layer that is not the kernel's.
const gateLayer = "guest"

// limitsLayer are the limits that the kernel keeps for a cell's process.
const limitsLayer = "limits"

// Reload replaces what the running cell goes by.
func (c *handle) Reload(ctx context.Context, r cell.Revision) (cell.Reloaded, error) {
	c.reloads.Lock()
	defer c.reloads.Unlock()
	next, err := c.revise(r)
	if err != nil {
		return cell.Reloaded{}, err
	}
	if err := ctx.Err(); err != nil {
		return cell.Reloaded{}, cell.Errorf(contextKind(ctx), "before it began: %v", err)
	}
	before, kept, err := c.putRuling(next)
	if err != nil {
		return cell.Reloaded{}, fmt.Errorf("launch: reload: %w", err)
	}
	unwiden := c.widen(next.limits)
	starting := c.isStarting() // it may have started by the time that this looks at the answer
	// From here on it is done whole: the host answers at once, or it and its cells are gone.
	m, err := c.ask(context.WithoutCancel(ctx), c.atOnce, &wire.Control_Reload{Reload: &wire.Reload{Limits: wire.FromLimits(next.limits)}}, next.gate)
	if err != nil {
		unwiden()
		return cell.Reloaded{}, c.notReloaded(err, before, starting)
	}
	c.narrow(next.limits)
	done := cell.Reloaded{Layers: []cell.ReloadedLayer{{Name: gateLayer, Live: true}}}
	for _, l := range c.confinement().Layers {
		if l.Active {
			done.Layers = append(done.Layers, c.settled(stack.Layer(l.Name), next))
		}
	}
	if kept = append(kept, limitsKept(m.GetReloaded())...); len(kept) > 0 {
		done.Layers = append(done.Layers, cell.ReloadedLayer{Name: limitsLayer, Missing: strings.Join(kept, "; ")})
	}
	return done, nil
}

// notReloaded is what a reload comes to that the host has not made. Rules that the node has checked an honest host
// refuses of a cell alone that starts, and then is asked again, or is ending. Any other cell would go on by the rules
// of before, as its guest likes: nothing is served to it any more, and its host is killed.
func (c *handle) notReloaded(err error, before ruling, starting bool) error {
	if cell.KindOf(err) == cell.Busy && starting {
		_, _, _ = c.putRuling(before) // the gate has those
		return err
	}
	c.bar("its rules have changed, and its host has not taken them")
	ending := time.NewTimer(c.launcher.config.AnswerGrace)
	defer ending.Stop()
	select {
	case <-c.done:
	case <-ending.C:
		c.host.kill("refused rules that the node has checked: " + wire.Text(err.Error(), 1024))
		<-c.done
	}
	return c.gone()
}

// limitsKept is what the host says of its cell's process: no more than there are limits.
func limitsKept(r *wire.Reloaded) (words []string) {
	const most = 3
	for _, w := range r.GetMissing()[:min(len(r.GetMissing()), most)] {
		words = append(words, wire.Text(w, 1024))
	}
	return words
}

// revise works out what the cell is to go by, and fails where that cannot be.
func (c *handle) revise(r cell.Revision) (ruling, error) {
	c.seating.Lock()
	now := c.ruling
	c.seating.Unlock()
	spec := c.spec
	spec.Policy, spec.Imports, spec.Limits = &r.Policy, now.imports, now.limits
	if r.Imports != nil {
		spec.Imports = r.Imports
	}
	if r.Limits != nil {
		spec.Limits = *r.Limits
	}
	if err := spec.Validate(); err != nil {
		return ruling{}, err
	}
	return c.launcher.rulings.of(spec, func() (ruling, error) {
		next, err := rule(spec, c.launcher.guard, c.launcher.watches)
		if err == nil {
			err = c.launcher.compile(spec, &next)
		}
		return next, err
	})
}

// limitsNow are the limits that the cell goes by.
func (c *handle) limitsNow() cell.Limits {
	c.seating.Lock()
	defer c.seating.Unlock()
	return c.ruling.limits
}

// putRuling makes a ruling the one that the cell's seat is judged by, whichever seat that is
// now. It returns the one before and what the seat keeps of it, in words. When it fails nothing
// has changed.
func (c *handle) putRuling(next ruling) (before ruling, kept []string, err error) {
	c.seating.Lock()
	defer c.seating.Unlock()
	if s := c.seated(); s != nil {
		ready, err := c.host.seats.prepared.take(c.host.seats.enforcer, next.policy, func() policy.Policy { return c.host.kernelPolicy(next.policy) })
		if err != nil {
			return ruling{}, nil, err
		}
		defer ready.Release()
		if kept, err = s.Use(ready, next.kernelLimits()); err != nil {
			return ruling{}, nil, err
		}
	}
	before, c.ruling = c.ruling, next
	return before, kept, nil
}

// widen lets the host do what it may do by its limits, before it has them. What it may have
// sent by those of before stays within them. A host that refuses them never had them: undo.
func (c *handle) widen(l cell.Limits) (undo func()) {
	wall := c.wall.Load()
	if wall != 0 && (l.Wall == 0 || int64(l.Wall) > wall) {
		c.wall.Store(int64(l.Wall))
	}
	unserve := c.served.widen(l.MessageBytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	most := c.outbox.most
	c.outbox.most = max(most, wire.PostBytes+wire.Overdraft(l))
	return func() {
		c.wall.Store(wall)
		unserve()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.outbox.most = most
	}
}

// narrow is called when the host has its limits. A guest that waits for credit is not to wait
// for more than there can be.
func (c *handle) narrow(l cell.Limits) {
	c.wall.Store(int64(l.Wall))
	c.served.narrow(l.MessageBytes)
	c.mu.Lock()
	c.outbox.limit = l.QueueItems
	credit := c.outbox.settle()
	c.mu.Unlock()
	if credit != nil {
		_ = c.host.send(c.wireID, 0, &wire.Control_Credit{Credit: credit}, nil)
	}
}

// settled says what a layer that was put on at the start makes of another policy.
func (c *handle) settled(l stack.Layer, r ruling) cell.ReloadedLayer {
	now, next := c.host.fit, r.fit
	if !now.own && r.nothing() {
		next = now
	}
	missing := ""
	switch l {
	case stack.LSM:
		return cell.ReloadedLayer{Name: string(l), Live: true, Missing: strings.Join(r.confined.gaps(l), "; ")}
	case stack.Landlock:
		if next.rules != now.rules || next.own != now.own {
			missing = "it keeps the rules that the cell started with: what it refused stays refused, what it permitted is refused by the other layers only"
		}
	case stack.Seccomp:
		missing = strings.TrimSpace(keptCalls("make sockets", now.network, next.network) + keptCalls("change directories", now.writes, next.writes))
	}
	return cell.ReloadedLayer{Name: string(l), Live: missing == "", Missing: missing}
}

// keptCalls says that a filter cannot follow a policy.
func keptCalls(what string, now, next bool) string {
	switch {
	case next && !now:
		return fmt.Sprintf("the cell has no calls that %s. ", what)
	case now && !next:
		return fmt.Sprintf("the cell keeps the calls that %s: that they do nothing is held by the other layers only. ", what)
	default:
		return ""
	}
}

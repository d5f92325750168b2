package launch

import (
	"context"
	"fmt"
	"strings"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// gateLayer is the guest's own gate, the one layer that is not the kernel's.
const gateLayer = "guest"

// Reload replaces the policy of the running cell.
func (c *handle) Reload(ctx context.Context, r cell.Revision) (cell.Reloaded, error) {
	spec := c.spec
	spec.Policy = &r.Policy
	if err := spec.Validate(); err != nil {
		return cell.Reloaded{}, err
	}
	next, err := rule(spec, c.launcher.guard, c.launcher.watches)
	if err == nil {
		err = c.launcher.compile(spec, &next)
	}
	if err != nil {
		return cell.Reloaded{}, err
	}
	c.reloads.Lock()
	defer c.reloads.Unlock()
	before, err := c.putRuling(next)
	if err != nil {
		return cell.Reloaded{}, fmt.Errorf("launch: reload: %w", err)
	}
	if _, err := c.ask(ctx, c.launcher.config.AnswerGrace, &wire.Control_Reload{Reload: &wire.Reload{}}, next.gate); err != nil {
		// Where the gate is not known to have it, nothing is to have it. A cell that is gone
		// needs nothing.
		_, _ = c.putRuling(before)
		return cell.Reloaded{}, err
	}
	done := cell.Reloaded{Layers: []cell.ReloadedLayer{{Name: gateLayer, Live: true}}}
	for _, l := range c.confinement().Layers {
		if l.Active {
			done.Layers = append(done.Layers, c.settled(stack.Layer(l.Name), next.fit))
		}
	}
	return done, nil
}

// putRuling makes the policy the one that the cell's seat is judged by, whichever seat that is
// now, and returns the one before. When it fails nothing has changed.
func (c *handle) putRuling(next ruling) (before ruling, err error) {
	c.seating.Lock()
	defer c.seating.Unlock()
	if s := c.seated(); s != nil {
		if err := s.Put(c.host.kernelPolicy(next.policy), c.kernelLimits(next.policy)); err != nil {
			return ruling{}, err
		}
	}
	before, c.ruling = c.ruling, next
	return before, nil
}

// settled says what a layer that was put on at the start makes of another policy.
func (c *handle) settled(l stack.Layer, next fit) cell.ReloadedLayer {
	now := c.host.fit
	missing := ""
	switch l {
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

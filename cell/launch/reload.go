package launch

import (
	"context"
	"fmt"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// gateLayer is the guest's own gate, the one layer that is not the kernel's.
const gateLayer = "guest"

// Reload replaces the policy of the running cell.
func (c *handle) Reload(ctx context.Context, p policy.Policy) (cell.Reloaded, error) {
	spec := c.spec
	spec.Policy = &p
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
	// What can fail comes first, and then nothing has changed.
	if s := c.seated(); s != nil {
		if err := s.Put(c.host.kernelPolicy(next.policy), c.kernelLimits(next.policy)); err != nil {
			return cell.Reloaded{}, fmt.Errorf("launch: reload: %w", err)
		}
	}
	if _, err := c.ask(ctx, c.launcher.config.AnswerGrace, &wire.Control_Reload{Reload: &wire.Reload{}}, next.gate); err != nil {
		return cell.Reloaded{}, err
	}
	c.mu.Lock()
	c.ruling.confined = next.confined
	c.mu.Unlock()
	r := cell.Reloaded{Layers: []cell.ReloadedLayer{{Name: gateLayer, Live: true}}}
	for _, l := range c.confinement().Layers {
		if l.Active {
			r.Layers = append(r.Layers, c.settled(stack.Layer(l.Name), next.fit))
		}
	}
	return r, nil
}

// settled says what a layer that was put on at the start makes of another policy.
func (c *handle) settled(l stack.Layer, next fit) cell.ReloadedLayer {
	now := c.host.fit
	r := cell.ReloadedLayer{Name: string(l), Live: true}
	switch {
	case l == stack.Landlock && next.rules != now.rules || l == stack.Landlock && next.own != now.own:
		r.Live, r.Missing = false, "it keeps the rules that the cell started with: what it refused stays refused, what it permitted is refused by the guest's gate only"
	case l == stack.Seccomp && next.network && !now.network:
		r.Live, r.Missing = false, "the cell has no internet sockets"
	case l == stack.Seccomp && next.writes && !now.writes:
		r.Live, r.Missing = false, "the cell has no calls that change directories"
	}
	return r
}

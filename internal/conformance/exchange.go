package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// A pair is two things of which a policy gives a cell one. The guest's gate lets it try both,
// so that what refuses the other is the kernel.
type pair interface {
	policy(i int) *policy.Policy
	// reads fails unless the cell gets thing i, and is refused the other.
	reads(ctx context.Context, guest cell.Cell, i int) error
}

// exchange gives a running cell one thing and then the other. One of the layers must be active
// in the cell's report.
func (s *scene) exchange(ctx context.Context, things pair, layers ...stack.Layer) (string, error) {
	guest, by, err := s.judged(ctx, things, layers...)
	if err != nil {
		return "", err
	}
	r, err := guest.Reload(ctx, cell.Revision{Policy: *things.policy(1)})
	if err != nil {
		return "", err
	}
	if missing := r.NewCell(); len(missing) > 0 {
		return "", fmt.Errorf("the policy was replaced, but for new cells only in %s", strings.Join(missing, "; "))
	}
	return "the cell got the one thing and was refused the other, and the reverse as soon as its policy was changed; by " + by, things.reads(ctx, guest, 1)
}

// judged is a cell that gets the first thing and not the second, and the layer that judges.
func (s *scene) judged(ctx context.Context, things pair, layers ...stack.Layer) (guest cell.Cell, by string, err error) {
	if guest, err = s.spawn(ctx, cell.Spec{Imports: []string{"socket"}, Policy: things.policy(0)}); err != nil {
		return nil, "", err
	}
	r, err := guest.Inspect(ctx)
	if err != nil {
		return nil, "", err
	}
	if by, err = judging(r, layers); err != nil {
		return nil, "", err
	}
	return guest, by, things.reads(ctx, guest, 0)
}

// judging is the first of the layers that is active, or why none is.
func judging(r cell.Report, layers []stack.Layer) (string, error) {
	var why []string
	for _, name := range layers {
		l := layer(r, name)
		if l.Active {
			return fmt.Sprintf("%s: %s", name, l.Evidence), nil
		}
		why = append(why, fmt.Sprintf("%s: %s", name, l.Evidence))
	}
	return "", unavailable("%s", strings.Join(why, "; "))
}

// tryReload replaces the rules for files of a running cell.
func tryReload(ctx context.Context, s *scene) (string, error) {
	return withCanaries(func(c canaries) (string, error) { return s.exchange(ctx, c, stack.LSM, stack.Notify) })
}

// tryReloadNetwork replaces the rules for addresses of a running cell.
func tryReloadNetwork(ctx context.Context, s *scene) (string, error) {
	return withServers(func(v servers) (string, error) { return s.exchange(ctx, v, stack.LSM, stack.Programs) })
}

// tryContract gives a cell both servers by its rules, and one by its contract.
func tryContract(ctx context.Context, s *scene) (string, error) {
	return withServers(func(v servers) (string, error) { return s.exchange(ctx, asserted{v}, stack.LSM, stack.Programs) })
}

// withoutNode has a trial's cells get nothing from the node: what they put on themselves is all.
func withoutNode(t trial) trial {
	return func(ctx context.Context, s *scene) (string, error) {
		config := s.config
		config.Kernel = nil
		return onStage(ctx, config, s.backend, t)
	}
}

// tryLandlockCell holds a cell to its rules for files by Landlock alone.
func tryLandlockCell(ctx context.Context, s *scene) (string, error) {
	return withCanaries(func(c canaries) (string, error) {
		_, by, err := s.judged(ctx, c, stack.Landlock)
		return "by links that its gate permits the cell read one file and was refused the other; by " + by, err
	})
}

// tryLandlockCellTCP holds a cell to its rules for ports by Landlock alone.
func tryLandlockCellTCP(ctx context.Context, s *scene) (string, error) {
	return withServers(func(v servers) (string, error) {
		_, by, err := s.judged(ctx, v, stack.Landlock)
		return "the cell reached one server and was refused the other; by " + by, err
	})
}

// both tries with each backend.
func both(t trial) trial {
	return func(ctx context.Context, s *scene) (string, error) {
		var said []string
		var failed error
		for _, b := range Backends {
			with := *s
			with.backend = b
			evidence, err := t(ctx, &with)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", b, err))
				continue
			}
			said = append(said, fmt.Sprintf("%s: %s", b, evidence))
		}
		return strings.Join(said, "; "), failed
	}
}

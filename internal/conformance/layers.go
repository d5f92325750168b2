package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// tryLayers compares what a cell's report says it has put on with what the kernel says of
// its thread. The kernel tells of a filter and no_new_privs, and not of Landlock.
func tryLayers(ctx context.Context, s *scene) (string, error) {
	c, err := s.exec(ctx, cell.Spec{}, "post(1)")
	if err != nil {
		return "", err
	}
	r, err := c.Inspect(ctx)
	if err != nil {
		return "", err
	}
	on, seccomp := activeLayers(r)
	threads := cellThreads(r.HostPID)
	if len(threads) == 0 {
		return "", fmt.Errorf("no thread of a cell is below process %d", r.HostPID)
	}
	for _, t := range threads {
		got, err := t.status("Seccomp", "NoNewPrivs")
		if err != nil {
			return "", err
		}
		if seccomp && (got["Seccomp"] != "2" || got["NoNewPrivs"] != "1") {
			return "", fmt.Errorf("the report says that seccomp is on, and thread %d has Seccomp: %s, NoNewPrivs: %s", t.tid, got["Seccomp"], got["NoNewPrivs"])
		}
	}
	if !seccomp {
		return "", unavailable("the cell has put on %s; seccomp: %s", orNothing(on), layer(r, stack.Seccomp).Evidence)
	}
	return fmt.Sprintf("%s by the report; Seccomp: 2 and NoNewPrivs: 1 by the kernel, threads looked at: %d", orNothing(on), len(threads)), nil
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

func activeLayers(r cell.Report) (names []string, seccomp bool) {
	if r.Confinement == nil {
		return nil, false
	}
	for _, l := range r.Confinement.Layers {
		if l.Active {
			names = append(names, l.Name)
		}
	}
	return names, slices.Contains(names, string(stack.Seccomp))
}

// layer is what the report says about one.
func layer(r cell.Report, name stack.Layer) cell.Layer {
	if r.Confinement != nil {
		for _, l := range r.Confinement.Layers {
			if l.Name == string(name) {
				return l
			}
		}
	}
	return cell.Layer{Name: string(name), Evidence: "the report does not speak of it"}
}

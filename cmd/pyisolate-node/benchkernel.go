package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/measure"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// freeThread is the peer of a thread that the kernel judges.
const freeThread = "thread without a policy"

// kernelRow is measured in a process of its own, by turns with its peer.
func kernelRow(p measure.Path, unit string, samples int, peer string, bar benchBar) benchRow {
	return benchRow{name: "kernel." + string(p), unit: unit, samples: samples, peer: peer, bar: bar, bare: true,
		measure: func(ctx context.Context, _ *bench, n int, r *benchResult) ([]float64, error) {
			f, err := inGroup(ctx, p, n)
			if err != nil {
				return nil, err
			}
			if f.Missing != "" {
				return nil, missingError{f.Missing}
			}
			r.PeerP50 = quantile(f.Free, 0.5)
			r.addNote(f.By)
			return f.Samples, nil
		}}
}

// pathFigures is what bench-kernel prints.
type pathFigures struct {
	measure.Figures
	// Missing is why there are none.
	Missing string `json:"missing,omitempty"`
}

// inGroup measures in a process that begins in a control group of its own, where one can be
// made: programs that are attached to a group judge those who are in it.
func inGroup(ctx context.Context, p measure.Path, n int) (f pathFigures, err error) {
	c := exec.CommandContext(ctx, "/proc/self/exe", "bench-kernel", string(p), strconv.Itoa(n))
	c.Args[0] = os.Args[0]
	group, remove, noGroup := newBenchGroup()
	if noGroup == nil {
		defer func() { err = errors.Join(err, remove()) }()
		dir, err := os.Open(group)
		if err != nil {
			return f, err
		}
		defer func() { _ = dir.Close() }()
		c.Args = append(c.Args, group)
		c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	}
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return f, fmt.Errorf("measure in another process: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	if err := json.Unmarshal(out, &f); err != nil {
		return f, err
	}
	if f.Missing != "" && noGroup != nil {
		f.Missing += "; " + noGroup.Error()
	}
	return f, nil
}

// newBenchGroup makes a group in the version 2 hierarchy.
func newBenchGroup() (dir string, remove func() error, err error) {
	tree, err := cgroup.Open(cgroup.Options{Name: cgroup.OwnName("pyisolate-bench"), Version: 2})
	if err != nil {
		return "", nil, err
	}
	g, err := tree.Create("measured", cgroup.Limits{})
	if err == nil && g.Unified() == "" {
		err = errors.Join(errors.New("no control group of version 2 can be made"), g.Remove(context.Background()))
	}
	if err != nil {
		return "", nil, errors.Join(err, tree.Close())
	}
	return g.Unified(), func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return errors.Join(g.Remove(ctx), tree.Close())
	}, nil
}

// newBenchKernel is the process that inGroup starts.
func newBenchKernel() *cobra.Command {
	return &cobra.Command{Use: "bench-kernel PATH N [GROUP]", Hidden: true, Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return usageError{err}
			}
			var f pathFigures
			f.Figures, err = measure.Take(measure.Path(args[0]), n, strings.Join(args[2:], ""))
			if errors.Is(err, measure.ErrMissing) {
				f.Missing, err = oneLine(strings.TrimPrefix(err.Error(), measure.ErrMissing.Error()+": ")), nil
			}
			if err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(f)
		}}
}

// reloadCell times Cell.Reload between two policies that the kernel has both. What judges by
// the new one when it returns is in the note.
func reloadCell(ctx context.Context, b *bench, n int, r *benchResult) (samples []float64, err error) {
	if kernel := b.kernel(ctx); kernel.Facts().Layer == "" && kernel.Watches() == "" {
		return nil, missingError{"nothing in the kernel judges by a policy that can be replaced"}
	}
	root, err := os.MkdirTemp("", "pyisolate-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	var policies [2]policy.Policy
	for i := range policies {
		dir := filepath.Join(root, strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		policies[i].Files = []policy.FileRule{{Path: dir, Access: policy.Read}}
	}
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	guest, err := l.Spawn(ctx, cell.Spec{Tenant: "bench", Policy: &policies[0]})
	if err != nil {
		return nil, fmt.Errorf("spawn a cell: %w", err)
	}
	var last cell.Reloaded
	for i := range n + len(policies) {
		begun := time.Now()
		last, err = guest.Reload(ctx, cell.Revision{Policy: policies[(i+1)%len(policies)]})
		took := time.Since(begun)
		if err != nil {
			return nil, fmt.Errorf("reload: %w", err)
		}
		if i >= len(policies) { // both are built
			samples = append(samples, micros(took))
		}
	}
	r.addNote(liveIn(last))
	return samples, nil
}

func liveIn(r cell.Reloaded) string {
	var names []string
	for _, l := range r.Layers {
		if l.Live {
			names = append(names, l.Name)
		}
	}
	slices.Sort(names)
	return "live in " + strings.Join(names, ", ")
}

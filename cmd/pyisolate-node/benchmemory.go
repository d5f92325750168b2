package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// processCells is how many children the process figures are taken of.
const processCells = 50

// memoryCell counts up to n cells and stops at 50, 200 and 1000 to look.
func memoryCell(ctx context.Context, b *bench, n int, r *benchResult) ([]float64, error) {
	steps := []struct {
		cells int
		field *float64
	}{{50, &r.At50}, {200, &r.At200}, {1000, &r.At1000}}
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	crowd, err := newCrowd(ctx, l, cell.SubInterpreter)
	if err != nil {
		return nil, err
	}
	var samples []float64
	for _, step := range steps {
		if err := crowd.grow(ctx, min(step.cells, n)); err != nil {
			return nil, err
		}
		each, err := crowd.each()
		if err != nil {
			return nil, err
		}
		samples = append(samples, each)
		if step.cells > n {
			r.addNote(fmt.Sprintf("measured at %d cells only", n))
			break
		}
		*step.field = each
	}
	r.N = crowd.cells
	if crowd.rough {
		r.addNote("anonymous resident memory: smaps_rollup of a host is for root to read")
	}
	if r.At200 != 0 {
		// The row's figure is the one at 200 cells, whatever the order.
		samples = []float64{r.At200, r.At200, max(r.At50, r.At200, r.At1000)}
	}
	return samples, processMemory(ctx, b, min(n, processCells), r)
}

func processMemory(ctx context.Context, b *bench, n int, r *benchResult) error {
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return err
	}
	defer closeLauncher(l)
	crowd, err := newCrowd(ctx, l, cell.Process)
	if err != nil {
		return err
	}
	if err := crowd.grow(ctx, n); err != nil {
		return err
	}
	if r.ProcessTotal, err = crowd.each(); err != nil {
		return err
	}
	r.ProcessChild, err = crowd.child()
	return err
}

// crowd is idle cells of one host, beside a first one that is not counted: it
// pays for what is shared.
type crowd struct {
	launcher *launch.Launcher
	backend  cell.Backend
	host     int // pid
	first    float64
	old      map[int]bool // processes of the host before the crowd came
	cells    int
	rough    bool
}

func newCrowd(ctx context.Context, l *launch.Launcher, backend cell.Backend) (*crowd, error) {
	guest, err := spawnIdle(ctx, l, backend)
	if err != nil {
		return nil, err
	}
	report, err := guest.Inspect(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the host: %w", err)
	}
	c := &crowd{launcher: l, backend: backend, host: report.HostPID, old: map[int]bool{}}
	pids, err := family(c.host)
	for _, pid := range pids {
		c.old[pid] = true
	}
	if err == nil {
		c.first, err = c.private(pids)
	}
	return c, err
}

// grow spawns until there are n cells beside the first.
func (c *crowd) grow(ctx context.Context, n int) error {
	for ; c.cells < n; c.cells++ {
		if _, err := spawnIdle(ctx, c.launcher, c.backend); err != nil {
			return err
		}
	}
	return nil
}

// each is the KiB by which host and children have grown, a cell.
func (c *crowd) each() (float64, error) {
	pids, err := family(c.host)
	if err != nil {
		return 0, err
	}
	now, err := c.private(pids)
	return (now - c.first) / float64(max(1, c.cells)), err
}

// child is the KiB of the median process that came with the crowd.
func (c *crowd) child() (float64, error) {
	pids, err := family(c.host)
	if err != nil {
		return 0, err
	}
	var sizes []float64
	for _, pid := range pids {
		if c.old[pid] {
			continue
		}
		size, err := c.private([]int{pid})
		if err != nil {
			return 0, err
		}
		sizes = append(sizes, size)
	}
	return quantile(sizes, 0.5), nil
}

func (c *crowd) private(pids []int) (float64, error) {
	sum := 0.0
	for _, pid := range pids {
		kib, err := privateMemory(pid)
		if errors.Is(err, fs.ErrPermission) {
			c.rough = true
			kib, err = anonymousMemory(pid)
		}
		if err != nil {
			return 0, err
		}
		sum += kib
	}
	return sum, nil
}

// privateMemory is the KiB nobody shares with the process.
func privateMemory(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	return sumPrivate(data)
}

func sumPrivate(rollup []byte) (float64, error) {
	sum, found := 0.0, false
	for lines := bufio.NewScanner(bytes.NewReader(rollup)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 3 || f[0] != "Private_Clean:" && f[0] != "Private_Dirty:" {
			continue
		}
		kib, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return 0, fmt.Errorf("read memory: %w", err)
		}
		sum, found = sum+kib, true
	}
	if !found {
		return 0, errors.New("read memory: smaps_rollup has no private fields; it needs Linux 4.14")
	}
	return sum, nil
}

// anonymousMemory is what anybody may read of a process that is not dumpable.
func anonymousMemory(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	var size, resident, shared float64
	if _, err := fmt.Sscan(string(data), &size, &resident, &shared); err != nil {
		return 0, fmt.Errorf("read memory: statm: %w", err)
	}
	return (resident - shared) * float64(os.Getpagesize()) / 1024, nil
}

// family is a process and all below it. A process that ends meanwhile is left out.
func family(root int) ([]int, error) {
	below := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if pid, parent, ok := parseParent(string(data)); ok {
			below[parent] = append(below[parent], pid)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, below[all[i]]...)
	}
	return all, nil
}

// parseParent reads /proc/PID/stat, whose second field may hold anything.
func parseParent(stat string) (pid, parent int, ok bool) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, false
	}
	var state string
	_, err1 := fmt.Sscan(stat, &pid)
	_, err2 := fmt.Sscan(stat[end+1:], &state, &parent)
	return pid, parent, err1 == nil && err2 == nil
}

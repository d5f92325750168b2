package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cellComm is what the threads of cells are called in /proc.
const cellComm = "(pyisolate-cell)"

// thread is one that runs a cell.
type thread struct {
	pid, tid int
	running  bool
}

// cellThreads lists the cells' threads in a host and in the processes below it.
func cellThreads(host int) []thread {
	var list []thread
	for _, pid := range family(host) {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/stat", pid))
		for _, path := range stats {
			data, err := os.ReadFile(path)
			_, rest, found := strings.Cut(string(data), cellComm)
			if err != nil || !found {
				continue // it has just ended, or is none
			}
			tid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			list = append(list, thread{pid: pid, tid: tid, running: strings.HasPrefix(rest, " R")})
		}
	}
	return list
}

// family is a process and its descendants.
func family(pid int) []int {
	children := map[int][]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		data, err := os.ReadFile(file)
		end := strings.LastIndexByte(string(data), ')')
		if err != nil || end < 0 {
			continue
		}
		fields := strings.Fields(string(data[end+1:])) // the state, the parent
		if len(fields) < 2 {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], child)
	}
	list := []int{pid}
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i]]...)
	}
	return list
}

// procPoll is how long to wait between looks at /proc, which tells nobody of changes.
const procPoll = time.Millisecond

// until looks at the cells' threads until f is content.
func until(ctx context.Context, host int, f func([]thread) bool) error {
	poll := time.NewTicker(procPoll)
	defer poll.Stop()
	for !f(cellThreads(host)) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func isRunning(t thread) bool { return t.running }

// whenNoneRuns waits until no cell of the host, nor below it, runs.
func whenNoneRuns(ctx context.Context, host int) error {
	err := until(ctx, host, func(all []thread) bool { return !slices.ContainsFunc(all, isRunning) })
	if err != nil {
		return fmt.Errorf("a thread of a cell below process %d runs on: %w", host, err)
	}
	return nil
}

// settled is more processor time than the start of a cell takes: what has used it and runs
// is in a loop, and no other cell that does something for a moment.
const settled = 200 * time.Millisecond

func isLooping(t thread) bool {
	c, err := t.clocks()
	return err == nil && t.running && c.ran >= settled
}

// segfault sends SIGSEGV to the one cell that is in a loop in the host or below it, and
// returns the process that it was in.
func segfault(ctx context.Context, host int) (pid int, err error) {
	waited := until(ctx, host, func(all []thread) bool {
		i := slices.IndexFunc(all, isLooping)
		if i < 0 {
			return false
		}
		pid = all[i].pid
		err = unix.Tgkill(pid, all[i].tid, unix.SIGSEGV)
		return !errors.Is(err, unix.ESRCH)
	})
	if waited != nil {
		return 0, fmt.Errorf("find a running cell below process %d: %w", host, waited)
	}
	return pid, err
}

// status reads fields of a thread's /proc/PID/task/TID/status.
func (t thread) status(fields ...string) (map[string]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", t.pid, t.tid))
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if slices.Contains(fields, name) {
			values[name] = strings.TrimSpace(value)
		}
	}
	return values, nil
}

// clocks are how long a thread ran, and how often it has gone to sleep by itself, as one
// does that waits for a lock. Being put aside for others does not count.
type clocks struct {
	ran    time.Duration
	sleeps int
}

func (t thread) clocks() (c clocks, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", t.pid, t.tid))
	if err != nil {
		return c, err
	}
	if _, err = fmt.Sscan(string(data), &c.ran); err != nil {
		return c, err
	}
	const field = "voluntary_ctxt_switches"
	status, err := t.status(field)
	if err != nil {
		return c, err
	}
	c.sleeps, err = strconv.Atoi(status[field])
	return c, err
}

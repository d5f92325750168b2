package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a group has used. A value that its hierarchies do not count is -1.
type Usage struct {
	CPU time.Duration
	// Throttled is how long it had to wait for its processor quota.
	Throttled time.Duration
	// Memory and Peak are in bytes. Kills are processes that the kernel ended for want
	// of memory.
	Memory, Peak, Kills int64
	Tasks               int64
}

// Usage reads the counters.
func (g *Group) Usage() (Usage, error) {
	u := Usage{CPU: -1, Throttled: -1, Memory: -1, Peak: -1, Kills: -1, Tasks: -1}
	var failed error
	get := func(to *int64, dir, file, key string) {
		if dir == "" {
			return
		}
		n, err := counter(filepath.Join(dir, file), key)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("cgroup: read %s: %w", file, err))
		default:
			*to = n
		}
	}
	cpu, throttled := int64(-1), int64(-1)
	switch dir, version := g.dir(CPU); version {
	case 2:
		get(&cpu, dir, "cpu.stat", "usage_usec")
		get(&throttled, dir, "cpu.stat", "throttled_usec")
		cpu, throttled = scale(cpu), scale(throttled)
	case 1:
		account, _ := g.dir(accounting)
		get(&cpu, account, "cpuacct.usage", "")
		get(&throttled, dir, "cpu.stat", "throttled_time")
	}
	u.CPU, u.Throttled = time.Duration(cpu), time.Duration(throttled)
	switch dir, version := g.dir(Memory); version {
	case 2:
		get(&u.Memory, dir, "memory.current", "")
		get(&u.Peak, dir, "memory.peak", "")
		get(&u.Kills, dir, "memory.events", "oom_kill")
	case 1:
		get(&u.Memory, dir, "memory.usage_in_bytes", "")
		get(&u.Peak, dir, "memory.max_usage_in_bytes", "")
		get(&u.Kills, dir, "memory.oom_control", "oom_kill")
	}
	tasks, _ := g.dir(Tasks)
	get(&u.Tasks, tasks, "pids.current", "")
	return u, failed
}

// scale turns microseconds into nanoseconds, and leaves what is not known.
func scale(us int64) int64 {
	if us < 0 {
		return us
	}
	return us * 1000
}

// counter reads a number, or the one that follows key on its line.
func counter(file, key string) (int64, error) {
	text, err := read(file)
	if err != nil {
		return 0, err
	}
	return parseCounter(text, key)
}

func parseCounter(text, key string) (int64, error) {
	if key == "" {
		return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == key {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("there is no %s: %w", key, os.ErrNotExist)
}

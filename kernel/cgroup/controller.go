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

// Controller is a resource that groups bound.
type Controller string

// The controllers that limits need.
const (
	CPU    Controller = "cpu"
	Memory Controller = "memory"
	Tasks  Controller = "pids"
)

// Controllers are all.
var Controllers = []Controller{CPU, Memory, Tasks}

// accounting is the version 1 controller that counts processor time.
const accounting Controller = "cpuacct"

// ErrNoController says that a limit needs a controller that groups cannot have here.
var ErrNoController = errors.New("cgroup: no such controller")

// Limits bound a group. Zero is unlimited.
type Limits struct {
	// CPU is processor time in each Period of wall time; Period is 100 ms by default.
	CPU, Period time.Duration
	// Memory is in bytes, swap included.
	Memory int64
	// Tasks are threads and processes.
	Tasks int64
}

// needs lists the controllers that the limits need.
func (l Limits) needs() []Controller {
	var list []Controller
	for c, set := range map[Controller]bool{CPU: l.CPU > 0, Memory: l.Memory > 0, Tasks: l.Tasks > 0} {
		if set {
			list = append(list, c)
		}
	}
	return list
}

// setting is one file of a group and what is written into it.
type setting struct {
	file, value string
	// optional files may be missing: they are younger, or compiled out.
	optional bool
}

const defaultPeriod = 100 * time.Millisecond

// settings of one controller in a version, those of no limit included: a limit may be
// lifted.
func (l Limits) settings(c Controller, version int) []setting {
	period := l.Period
	if period == 0 {
		period = defaultPeriod
	}
	of := func(n int64, none string) string {
		if n == 0 {
			return none
		}
		return strconv.FormatInt(n, 10)
	}
	us := strconv.FormatInt(period.Microseconds(), 10)
	switch {
	case c == CPU && version == 2:
		return []setting{{file: "cpu.max", value: of(l.CPU.Microseconds(), "max") + " " + us}}
	case c == CPU:
		return []setting{{file: "cpu.cfs_period_us", value: us}, {file: "cpu.cfs_quota_us", value: of(l.CPU.Microseconds(), "-1")}}
	case c == Memory && version == 2:
		swap := "max"
		if l.Memory > 0 {
			swap = "0"
		}
		return []setting{{file: "memory.max", value: of(l.Memory, "max")}, {file: "memory.swap.max", value: swap, optional: true},
			{file: "memory.oom.group", value: "1", optional: true}}
	case c == Memory:
		return []setting{{file: "memory.limit_in_bytes", value: of(l.Memory, "-1")},
			{file: "memory.memsw.limit_in_bytes", value: of(l.Memory, "-1"), optional: true}}
	case c == Tasks:
		return []setting{{file: "pids.max", value: of(l.Tasks, "max")}}
	default:
		return nil
	}
}

// apply writes the settings of one controller into a group's directory.
func (l Limits) apply(c Controller, version int, dir string) error {
	for _, s := range l.settings(c, version) {
		err := write(filepath.Join(dir, s.file), s.value)
		if s.optional && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cgroup: set %s: %w", s.file, err)
		}
	}
	return nil
}

// write writes into a file that the kernel has made; it never makes one.
func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func read(file string) (string, error) {
	data, err := os.ReadFile(file)
	return strings.TrimSpace(string(data)), err
}

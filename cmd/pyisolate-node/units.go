package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// bytesFlag is a size such as 512KiB, 32MiB, 1GB or 4096.
type bytesFlag int64

var byteUnits = []struct {
	suffix string
	factor float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1}}

func (b *bytesFlag) Set(text string) error {
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v*u.factor >= 1) || v*u.factor > math.MaxInt64/2 {
			break
		}
		*b = bytesFlag(v * u.factor)
		return nil
	}
	return fmt.Errorf("%q is not a size: write 512KiB, 32MiB or 1GB", text)
}

func (b *bytesFlag) String() string {
	if *b == 0 {
		return ""
	}
	return fmt.Sprintf("%dB", int64(*b))
}

func (*bytesFlag) Type() string { return "size" }

// cpuFlag is a total such as 500ms, or a budget per window such as 500ms/1s.
type cpuFlag struct{ total, budget, window time.Duration }

func (c *cpuFlag) Set(text string) error {
	budget, window, windowed := strings.Cut(text, "/")
	b, err := time.ParseDuration(budget)
	if err != nil || b <= 0 {
		return fmt.Errorf("%q is not a CPU budget: write 500ms for a total, or 500ms/1s for each second", text)
	}
	if !windowed {
		*c = cpuFlag{total: b}
		return nil
	}
	w, err := time.ParseDuration(window)
	if err != nil || w <= 0 {
		return fmt.Errorf("%q is not a window: write 500ms/1s", text)
	}
	*c = cpuFlag{budget: b, window: w}
	return nil
}

func (c *cpuFlag) String() string {
	switch {
	case c.window != 0:
		return fmt.Sprintf("%s/%s", c.budget, c.window)
	case c.total != 0:
		return c.total.String()
	}
	return ""
}

func (*cpuFlag) Type() string { return "duration[/window]" }

func (c *cpuFlag) apply(l *cell.Limits) {
	l.CPU, l.CPUPerWindow, l.CPUWindow = c.total, c.budget, c.window
}

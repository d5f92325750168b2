package document

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// sizeUnits, the larger before those that end them.
var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// maxDigits is how long the number of a size may be, so that it is soon read.
const maxDigits = 64

// ParseSize reads a number of bytes with its unit: B, kB, MB, GB, TB, KiB, MiB, GiB or
// TiB, as 64KiB or 1.5GiB. A size is from 1 byte to 2^62, a whole number of bytes.
func ParseSize(text string) (int64, error) {
	digits := strings.TrimLeft(text, "0123456789.")
	mantissa, suffix := text[:len(text)-len(digits)], digits
	if mantissa == "" {
		return 0, errors.New("a size is a number and a unit, as 64MiB")
	}
	for _, u := range sizeUnits {
		if u.suffix != suffix {
			continue
		}
		v, ok := new(big.Rat).SetString(mantissa[:min(len(mantissa), maxDigits)])
		if !ok || len(mantissa) > maxDigits || strings.HasPrefix(mantissa, ".") || strings.HasSuffix(mantissa, ".") {
			return 0, fmt.Errorf("%s is not a number", shown(mantissa))
		}
		v.Mul(v, new(big.Rat).SetInt64(u.factor)) // exactly: a float has 53 bits
		switch {
		case v.Cmp(big.NewRat(1, 1)) < 0 || v.Cmp(big.NewRat(maxTotal, 1)) > 0:
			return 0, errors.New("a size is from 1B to 4194304TiB")
		case !v.IsInt():
			return 0, errors.New("that is not a whole number of bytes")
		}
		return v.Num().Int64(), nil
	}
	return 0, unitError(suffix, mantissa, "a size", sizeUnitNames())
}

func sizeUnitNames() []string {
	names := make([]string, len(sizeUnits))
	for i, u := range sizeUnits {
		names[i] = u.suffix
	}
	return names
}

// FormatSize is the shortest text that ParseSize reads as n.
func FormatSize(n int64) string {
	for i := 3; i >= 0; i-- { // the binary units come first, in ascending order
		if u := sizeUnits[i]; n >= u.factor && n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// unitError says which units there are, and which the writer may have meant.
func unitError(suffix, mantissa, what string, names []string) error {
	if suffix == "" {
		return fmt.Errorf("%s needs a unit: %s", what, strings.Join(names, ", "))
	}
	for _, name := range names {
		if strings.EqualFold(name, suffix) || strings.EqualFold(name, suffix+"B") || strings.EqualFold(name, suffix+"iB") {
			return fmt.Errorf("%s has no unit %s; is %s%s meant?", what, suffix, mantissa, name)
		}
	}
	return fmt.Errorf("%s has no unit %s; there are %s", what, shown(suffix), strings.Join(names, ", "))
}

// MaxDuration is the longest that a document may state, ten years.
const MaxDuration = 10 * 365 * 24 * time.Hour

// ParseDuration reads a number with its unit, or several: h, m, s, ms, us, ns, as 30s or
// 1m30s. A duration is from 1ns to [MaxDuration].
func ParseDuration(text string) (time.Duration, error) {
	if decimalRE.MatchString(text) {
		return 0, fmt.Errorf("a duration needs a unit, as %ss or %sms", text, text)
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || strings.HasPrefix(text, "+"):
		return 0, errors.New("a duration is a number and a unit, h, m, s, ms, us or ns, as 30s or 1m30s")
	case d <= 0 || d > MaxDuration:
		return 0, fmt.Errorf("a duration is from 1ns to %s", FormatDuration(MaxDuration))
	}
	return d, nil
}

// FormatDuration is a short text that ParseDuration reads as d.
func FormatDuration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}} {
		if d >= u.unit && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}

// ParseBudget reads processor time per window of wall time, as 500ms/1s.
func ParseBudget(text string) (budget, window time.Duration, err error) {
	first, second, both := strings.Cut(text, "/")
	if !both {
		return 0, 0, errors.New("a budget is processor time per window, as 500ms/1s; cpu_ms is the total of a cell's life")
	}
	if budget, err = ParseDuration(first); err != nil {
		return 0, 0, fmt.Errorf("the budget %s: %w", shown(first), err)
	}
	if window, err = ParseDuration(second); err != nil {
		return 0, 0, fmt.Errorf("the window %s: %w", shown(second), err)
	}
	if window < minWindow {
		return 0, 0, fmt.Errorf("the window is at least %s", FormatDuration(minWindow))
	}
	return budget, window, nil
}

// minWindow is that of cell.Limits.
const minWindow = 10 * time.Millisecond

// ParseRate reads bytes per second, as 10MiB/s.
func ParseRate(text string) (int64, error) {
	size, ok := strings.CutSuffix(text, "/s")
	if !ok {
		return 0, errors.New("a rate is a size per second, as 10MiB/s")
	}
	return ParseSize(size)
}

package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/node"
	"github.com/pyisolate/pyisolate/policystore/document"
)

func setLabels(l *Loaded, values []string) error {
	l.Node.Labels = map[string]string{}
	for _, v := range values {
		key, value, found := strings.Cut(v, "=")
		if !found || key == "" {
			return fmt.Errorf("%q is no label: write KEY=VALUE, as zone=a", v)
		}
		if _, twice := l.Node.Labels[key]; twice {
			return fmt.Errorf("%s is given twice", key)
		}
		l.Node.Labels[key] = value
	}
	return nil
}

func labels(l *Loaded) (out []string) {
	for _, key := range slices.Sorted(maps.Keys(l.Node.Labels)) {
		out = append(out, key+"="+l.Node.Labels[key])
	}
	return out
}

func setCells(l *Loaded, values []string) error {
	n, err := strconv.Atoi(values[0])
	if err != nil || n < 1 {
		return fmt.Errorf("%q is no number of cells: write 1 to %d", values[0], node.MaxCells)
	}
	l.Node.Cells = n
	return nil
}

func setCapacity(l *Loaded, values []string) (err error) {
	l.Node.CapacityMemory, err = document.ParseSize(values[0])
	if err != nil || l.Node.CapacityMemory <= 0 {
		return fmt.Errorf("%q is no size: write 16GiB or 512MiB", values[0])
	}
	return nil
}

func capacity(l *Loaded) []string {
	if l.Node.CapacityMemory == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%dB", l.Node.CapacityMemory)}
}

// span is the setting of a time that is not 0.
func span(key, usage string, field func(*Loaded) *time.Duration) Setting {
	return Setting{Key: key, Kind: Text, Usage: usage,
		set: func(l *Loaded, v []string) error {
			d, err := time.ParseDuration(v[0])
			if err != nil || d <= 0 {
				return fmt.Errorf("%q is no duration: write 3s or 500ms", v[0])
			}
			*field(l) = d
			return nil
		},
		get: func(l *Loaded) []string { return []string{field(l).String()} }}
}

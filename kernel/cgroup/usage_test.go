package cgroup

import (
	"testing"
)

func TestParseCounter(t *testing.T) {
	for name, c := range map[string]struct {
		text, key string
		want      int64
		ok        bool
	}{
		"a number":    {"42\n", "", 42, true},
		"a key":       {"nr 1\nusage_usec 77\n", "usage_usec", 77, true},
		"no such key": {"nr 1\n", "usage_usec", 0, false},
		"no number":   {"max", "", 0, false},
		"a longer":    {"usage_usec2 77\n", "usage_usec", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseCounter(c.text, c.key)
			if got != c.want || (err == nil) != c.ok {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
}

func FuzzParseCounter(f *testing.F) {
	f.Add("usage_usec 7\n", "usage_usec")
	f.Add("7", "")
	f.Fuzz(func(_ *testing.T, text, key string) { _, _ = parseCounter(text, key) })
}

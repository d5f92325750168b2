package config

import (
	"fmt"
	"strconv"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// number is the setting of a count, -1 for any.
func number(key, usage string, field func(*Loaded) *int) Setting {
	return Setting{Key: key, Kind: Text, Usage: usage,
		set: func(l *Loaded, v []string) error {
			n, err := strconv.Atoi(v[0])
			if err != nil || n < -1 || n == 0 {
				return fmt.Errorf("%q is no number: write 1 or more, or -1 for any", v[0])
			}
			*field(l) = n
			return nil
		},
		get: func(l *Loaded) []string { return []string{strconv.Itoa(*field(l))} }}
}

// replicas is the setting of how many nodes get a copy.
func replicas(key, usage string, field func(*Loaded) *int) Setting {
	return Setting{Key: key, Kind: Text, Usage: usage,
		set: func(l *Loaded, v []string) error {
			n, err := strconv.Atoi(v[0])
			if err != nil || n < 0 || n > document.MaxReplicas {
				return fmt.Errorf("%q is no number of nodes: write 0 to %d", v[0], document.MaxReplicas)
			}
			*field(l) = n
			return nil
		},
		get: func(l *Loaded) []string { return []string{strconv.Itoa(*field(l))} }}
}

// sized is the setting of a size.
func sized(key, usage string, field func(*Loaded) *int64) Setting {
	return Setting{Key: key, Kind: Text, Usage: usage,
		set: func(l *Loaded, v []string) error {
			n, err := document.ParseSize(v[0])
			if err != nil || n <= 0 {
				return fmt.Errorf("%q is no size: write 16GiB or 512MiB", v[0])
			}
			*field(l) = n
			return nil
		},
		get: func(l *Loaded) []string {
			if *field(l) <= 0 {
				return nil
			}
			return []string{fmt.Sprintf("%dB", *field(l))}
		}}
}

// unset is a setting of a time that is shown as none where it is 0.
func unset(s Setting) Setting {
	shown := s.get
	s.get = func(l *Loaded) []string {
		if all := shown(l); all[0] != "0s" {
			return all
		}
		return nil
	}
	return s
}

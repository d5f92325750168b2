package document

import (
	"cmp"
	"slices"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// allPorts is every port, as a range.
var allPorts = []policy.PortRange{{First: 0, Last: 65535}}

// orAll is ports with "none written" put as a range.
func orAll(ports []policy.PortRange) []policy.PortRange {
	if len(ports) == 0 {
		return allPorts
	}
	return ports
}

// joinPorts sorts ranges and joins those that overlap or touch.
func joinPorts(ports []policy.PortRange) []policy.PortRange {
	sorted := slices.Clone(ports)
	slices.SortFunc(sorted, func(a, b policy.PortRange) int { return cmp.Compare(a.First, b.First) })
	var out []policy.PortRange
	for _, p := range sorted {
		if n := len(out); n > 0 && int(p.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, p.Last)
			continue
		}
		out = append(out, p)
	}
	return out
}

// withoutPorts is what is left of joined ranges when others are taken away.
func withoutPorts(ports, taken []policy.PortRange) []policy.PortRange {
	for _, t := range joinPorts(taken) {
		var left []policy.PortRange
		for _, p := range ports {
			if p.Last < t.First || t.Last < p.First {
				left = append(left, p)
				continue
			}
			if p.First < t.First {
				left = append(left, policy.PortRange{First: p.First, Last: t.First - 1})
			}
			if t.Last < p.Last {
				left = append(left, policy.PortRange{First: t.Last + 1, Last: p.Last})
			}
		}
		ports = left
	}
	return ports
}

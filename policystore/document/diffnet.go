package document

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// byPrefix has something for each of some prefixes.
type byPrefix[T any] map[netip.Prefix]T

// longest is that of the longest prefix that contains one, itself included.
func (m byPrefix[T]) longest(p netip.Prefix) (found T) {
	for bits := p.Bits(); bits >= 0; bits-- {
		shorter, err := p.Addr().Prefix(bits)
		if err != nil {
			break // bits are within those of a valid prefix
		}
		if found, there := m[shorter]; there {
			return found
		}
	}
	return found
}

// permitted are the ports that compiled rules permit at their prefixes.
func permitted(rules []policy.NetRule) byPrefix[[]policy.PortRange] {
	m := byPrefix[[]policy.PortRange]{}
	for _, r := range rules {
		m[r.Prefix] = nil
		if !r.Deny {
			m[r.Prefix] = joinPorts(orAll(r.Ports))
		}
	}
	return m
}

// netGain is what is gained at a prefix, and the line that says so.
type netGain struct {
	ports []policy.PortRange
	gain  *gain
}

// gainedNet is what `to` permits and `from` does not.
func gainedNet(from, to []policy.NetRule) []string {
	old, now := permitted(from), permitted(to)
	prefixes := slices.AppendSeq(slices.Collect(maps.Keys(old)), maps.Keys(now))
	slices.SortFunc(prefixes, comparePrefix) // what contains another comes before it
	var gains []*gain
	seen := byPrefix[netGain]{}
	for _, p := range slices.Compact(prefixes) {
		parent := seen.longest(p)
		here := netGain{withoutPorts(now.longest(p), old.longest(p)), parent.gain}
		if missing := withoutPorts(parent.ports, here.ports); len(missing) > 0 {
			parent.gain.except = append(parent.gain.except, peerText(p, missing))
		}
		if more := withoutPorts(here.ports, parent.ports); len(more) > 0 {
			here.gain = &gain{text: "connect to " + peerText(p, more)}
			gains = append(gains, here.gain)
		}
		seen[p] = here
	}
	return gainText(gains)
}

func peerText(p netip.Prefix, ports []policy.PortRange) string {
	return netRule{prefix: p, ports: ifNotAll(ports)}.canonical()
}

// gainedHosts are names that rules permit, whatever their addresses.
func gainedHosts(from, to []netRule) (gained []string) {
	had := map[string]bool{}
	for _, r := range from {
		if r.host != "" {
			had[r.canonical()] = true
		}
	}
	for _, r := range to {
		if text := r.canonical(); r.host != "" && !had[text] {
			had[text] = true
			gained = append(gained, "connect to "+text)
		}
	}
	return gained
}

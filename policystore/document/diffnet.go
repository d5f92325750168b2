package document

import (
	"net/netip"
	"slices"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// permittedPorts is what compiled rules permit at a prefix: what the longest that contains
// it says.
func permittedPorts(rules []policy.NetRule, p netip.Prefix) []policy.PortRange {
	var best *policy.NetRule
	for i, r := range rules {
		if r.Prefix.Bits() <= p.Bits() && r.Prefix.Contains(p.Addr()) && (best == nil || r.Prefix.Bits() > best.Prefix.Bits()) {
			best = &rules[i]
		}
	}
	if best == nil || best.Deny {
		return nil
	}
	return joinPorts(orAll(best.Ports))
}

// gainedNet is what `to` permits and `from` does not.
func gainedNet(from, to []policy.NetRule) []string {
	var prefixes []netip.Prefix
	for _, r := range slices.Concat(from, to) {
		prefixes = append(prefixes, r.Prefix)
	}
	slices.SortFunc(prefixes, comparePrefix) // what contains another comes before it
	type at struct {
		prefix netip.Prefix
		ports  []policy.PortRange
		gain   *gain
	}
	var gains []*gain
	var seen []at
	for _, p := range slices.Compact(prefixes) {
		here := at{prefix: p, ports: withoutPorts(permittedPorts(to, p), permittedPorts(from, p))}
		var parent at
		for _, s := range seen {
			if s.prefix.Contains(p.Addr()) {
				parent = s // the last that contains it is the longest
			}
		}
		here.gain = parent.gain
		if missing := withoutPorts(parent.ports, here.ports); len(missing) > 0 && parent.gain != nil {
			parent.gain.except = append(parent.gain.except, peerText(p, missing))
		}
		if more := withoutPorts(here.ports, parent.ports); len(more) > 0 {
			here.gain = &gain{text: "connect to " + peerText(p, more)}
			gains = append(gains, here.gain)
		}
		seen = append(seen, here)
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

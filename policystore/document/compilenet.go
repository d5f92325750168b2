package document

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// networks makes of rules of which deny beats allow such of which the longest prefix
// decides: each prefix has the ports that all rules about it permit, without those that any
// denies.
func (c *compiling) networks() {
	c.out.net, c.out.Names = c.resolve()
	last := map[netip.Prefix]netRule{}
	for _, r := range c.out.net {
		if r.prefix.IsValid() {
			last[r.prefix] = r
		}
	}
	for prefix, r := range last {
		permitted := portsOf(c.out.net, prefix)
		switch {
		case len(permitted) == 0:
			c.out.Policy.Net = append(c.out.Policy.Net, policy.NetRule{Prefix: prefix, Deny: true})
		case len(permitted) > policy.MaxPortRanges:
			c.at(r.at, "use fewer, wider ranges", "all rules about %s together permit %d ranges of ports; %d are possible", prefix, len(permitted), policy.MaxPortRanges)
		default:
			c.out.Policy.Net = append(c.out.Policy.Net, policy.NetRule{Prefix: prefix, Ports: ifNotAll(permitted)})
		}
	}
	slices.SortFunc(c.out.Policy.Net, func(a, b policy.NetRule) int { return comparePrefix(a.Prefix, b.Prefix) })
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// portsOf is what rules permit at the addresses of a prefix that no longer one is about.
// Prefixes either contain each other or are apart, so that rules which contain it are all
// that are about such an address.
func portsOf(rules []netRule, prefix netip.Prefix) []policy.PortRange {
	var permitted, denied []policy.PortRange
	for _, r := range rules {
		if !r.prefix.IsValid() || r.prefix.Bits() > prefix.Bits() || !r.prefix.Contains(prefix.Addr()) {
			continue
		}
		if r.denies() {
			denied = append(denied, orAll(r.ports)...)
		} else {
			permitted = append(permitted, orAll(r.ports)...)
		}
	}
	return withoutPorts(joinPorts(permitted), denied)
}

// ifNotAll is nothing for every port, as kernel/policy has it.
func ifNotAll(ports []policy.PortRange) []policy.PortRange {
	if slices.Equal(ports, allPorts) {
		return nil
	}
	return ports
}

// resolve puts a rule for each address of a host in place of the host's rule, which stays
// for Explain, and lists the hosts.
func (c *compiling) resolve() (rules []netRule, names []string) {
	for _, r := range c.s.net.rules {
		rules = append(rules, r)
		if r.host == "" {
			continue
		}
		names = append(names, r.host)
		for _, a := range c.o.Resolve[r.host] {
			if a = a.Unmap().WithZone(""); !reachable(a) {
				continue
			}
			at := r
			at.prefix = netip.PrefixFrom(a, a.BitLen())
			rules = append(rules, at)
		}
	}
	slices.Sort(names)
	return rules, slices.Compact(names)
}

// reachable tells addresses that a name may stand for. Whoever serves a name chooses its
// addresses: this machine's own interfaces by "unspecified", and metadata services, which
// are link-local, must be named by their addresses.
func reachable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

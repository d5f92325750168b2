package document

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// netIndex has rules for networks by their prefixes, and how long those are.
type netIndex struct {
	byPrefix map[netip.Prefix][]netRule
	bits     [2][]int // of IPv4 and IPv6, the longest first
}

func indexNet(rules []netRule) netIndex {
	x := netIndex{byPrefix: map[netip.Prefix][]netRule{}}
	for _, r := range rules {
		if !r.prefix.IsValid() {
			continue // a host without addresses
		}
		x.byPrefix[r.prefix] = append(x.byPrefix[r.prefix], r)
		if bits := &x.bits[family(r.prefix.Addr())]; !slices.Contains(*bits, r.prefix.Bits()) {
			*bits = append(*bits, r.prefix.Bits())
		}
	}
	for _, bits := range x.bits {
		slices.SortFunc(bits, func(a, b int) int { return b - a })
	}
	return x
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// covering calls each for all rules whose prefixes contain one, the longest first, until it
// says no.
func (x netIndex) covering(p netip.Prefix, each func(r *netRule) bool) {
	for _, bits := range x.bits[family(p.Addr())] {
		if bits > p.Bits() {
			continue
		}
		shorter, err := p.Addr().Prefix(bits)
		if err != nil {
			continue // bits are those of a valid prefix of the family
		}
		rules := x.byPrefix[shorter]
		for i := range rules {
			if !each(&rules[i]) {
				return
			}
		}
	}
}

// networks makes of rules of which deny beats allow such of which the longest prefix
// decides: each prefix has the ports that all rules about it permit, without those that any
// denies.
func (c *compiling) networks() {
	c.out.hosts, c.out.Names = c.resolve()
	c.out.net = indexNet(c.out.hosts)
	for prefix, rules := range c.out.net.byPrefix {
		permitted := c.out.net.ports(prefix)
		switch last := rules[len(rules)-1]; {
		case len(permitted) == 0:
			c.out.Policy.Net = append(c.out.Policy.Net, policy.NetRule{Prefix: prefix, Deny: true})
		case len(permitted) > policy.MaxPortRanges:
			c.at(last.at, "use fewer, wider ranges", "all rules about %s together permit %d ranges of ports; %d are possible", prefix, len(permitted), policy.MaxPortRanges)
		default:
			c.out.Policy.Net = append(c.out.Policy.Net, policy.NetRule{Prefix: prefix, Ports: ifNotAll(permitted)})
		}
	}
	slices.SortFunc(c.out.Policy.Net, func(a, b policy.NetRule) int { return comparePrefix(a.Prefix, b.Prefix) })
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// ports is what rules permit at the addresses of a prefix that no longer one is about.
// Prefixes either contain each other or are apart, so that rules which contain it are all
// that are about such an address.
func (x netIndex) ports(prefix netip.Prefix) []policy.PortRange {
	var permitted, denied []policy.PortRange
	x.covering(prefix, func(r *netRule) bool {
		if r.denies() {
			denied = append(denied, orAll(r.ports)...)
		} else {
			permitted = append(permitted, orAll(r.ports)...)
		}
		return true
	})
	return withoutPorts(joinPorts(permitted), denied)
}

// ifNotAll is nothing for every port, as kernel/policy has it.
func ifNotAll(ports []policy.PortRange) []policy.PortRange {
	if slices.Equal(ports, allPorts) {
		return nil
	}
	return ports
}

// resolve adds to the rule of each host one for each of its addresses, and lists the hosts.
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

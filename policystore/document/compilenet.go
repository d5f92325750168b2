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
	rules, unresolved := c.resolve()
	net := indexNet(rules)
	for prefix := range net.byPrefix {
		for _, name := range net.fit(prefix) {
			unresolved[name] = true
		}
		written := net.byPrefix[prefix]
		if len(written) == 0 { // only names were about it, and they did not fit
			delete(net.byPrefix, prefix)
			continue
		}
		switch permitted := net.ports(prefix); {
		case len(permitted) == 0:
			c.out.Policy.Net = append(c.out.Policy.Net, policy.NetRule{Prefix: prefix, Deny: true})
		case len(permitted) > policy.MaxPortRanges:
			c.at(written[len(written)-1].at, "use fewer, wider ranges", "all rules about %s together permit %d ranges of ports; %d are possible", prefix, len(permitted), policy.MaxPortRanges)
		default:
			c.out.Policy.Net = append(c.out.Policy.Net, policy.NetRule{Prefix: prefix, Ports: ifNotAll(permitted)})
		}
	}
	slices.SortFunc(c.out.Policy.Net, func(a, b policy.NetRule) int { return comparePrefix(a.Prefix, b.Prefix) })
	c.out.net, c.out.Unresolved = net, sortedKeys(unresolved)
	c.out.hosts = slices.DeleteFunc(rules, func(r netRule) bool { return r.host != "" && r.prefix.IsValid() && !net.has(r) })
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// ports is what rules permit at the addresses of a prefix that no longer one is about.
// Prefixes either contain each other or are apart, so that rules which contain it are all
// that are about such an address.
func (x netIndex) ports(prefix netip.Prefix) []policy.PortRange {
	permitted, denied := x.verdicts(prefix, func(*netRule) bool { return true })
	return withoutPorts(permitted, denied)
}

// verdicts are the ports that some of the rules about a prefix permit, and that they deny.
func (x netIndex) verdicts(prefix netip.Prefix, counts func(*netRule) bool) (permitted, denied []policy.PortRange) {
	x.covering(prefix, func(r *netRule) bool {
		switch {
		case !counts(r):
		case r.denies():
			denied = append(denied, orAll(r.ports)...)
		default:
			permitted = append(permitted, orAll(r.ports)...)
		}
		return true
	})
	return joinPorts(permitted), joinPorts(denied)
}

// fit drops from an address the rules of names with which it would have more ranges of ports
// than one may, so that whoever serves a name cannot spoil a document with an answer. The
// first of the text stay.
func (x netIndex) fit(prefix netip.Prefix) (dropped []string) {
	rules := x.byPrefix[prefix]
	isHost := func(r netRule) bool { return r.host != "" }
	if !slices.ContainsFunc(rules, isHost) || len(x.ports(prefix)) <= policy.MaxPortRanges {
		return nil
	}
	permitted, denied := x.verdicts(prefix, func(r *netRule) bool { return !isHost(*r) })
	permitted = withoutPorts(permitted, denied)
	x.byPrefix[prefix] = slices.DeleteFunc(slices.Clone(rules), func(r netRule) bool {
		if !isHost(r) {
			return false
		}
		more := joinPorts(slices.Concat(permitted, withoutPorts(orAll(r.ports), denied)))
		if len(more) > policy.MaxPortRanges {
			dropped = append(dropped, r.host)
			return true
		}
		permitted = more
		return false
	})
	return dropped
}

// has tells whether a rule is still in the index.
func (x netIndex) has(r netRule) bool {
	return slices.ContainsFunc(x.byPrefix[r.prefix], func(o netRule) bool { return o.at == r.at && o.host == r.host })
}

// ifNotAll is nothing for every port, as kernel/policy has it.
func ifNotAll(ports []policy.PortRange) []policy.PortRange {
	if slices.Equal(ports, allPorts) {
		return nil
	}
	return ports
}

// resolve adds to the rule of each host one for each of its addresses. It lists the hosts, and
// returns those of which an address is missing.
func (c *compiling) resolve() (rules []netRule, unresolved map[string]bool) {
	unresolved = map[string]bool{}
	usable := map[string][]netip.Addr{}
	for _, r := range c.s.net.rules {
		rules = append(rules, r)
		if r.host == "" {
			continue
		}
		if _, known := usable[r.host]; !known {
			list, all := pinned(c.o.Resolve[r.host])
			usable[r.host] = list
			if !all {
				unresolved[r.host] = true
			}
		}
		for _, a := range usable[r.host] {
			at := r
			at.prefix = netip.PrefixFrom(a, a.BitLen())
			rules = append(rules, at)
		}
	}
	c.out.Names = sortedKeys(usable)
	return rules, unresolved
}

// pinned are the addresses that a name is taken for, and whether they are all of those found.
func pinned(found []netip.Addr) (list []netip.Addr, all bool) {
	for _, a := range found {
		if a = a.Unmap().WithZone(""); reachable(a) {
			list = append(list, a)
		}
	}
	all = len(list) == len(found) && len(found) > 0
	slices.SortFunc(list, netip.Addr.Compare)
	if list = slices.Compact(list); len(list) > MaxAddresses {
		return list[:MaxAddresses], false
	}
	return list, all
}

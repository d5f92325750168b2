package fetch

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/pyisolate/pyisolate/broker/capability"
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// inner are the IPv4 addresses that are not the public internet (IANA's
// special-purpose registry, and multicast).
var inner = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")

// outer6 is the IPv6 space that is handed out at all; inner6 what is not public in it.
var (
	outer6 = netip.MustParsePrefix("2000::/3")
	inner6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
)

// metadata are the addresses at which clouds hand out credentials. A range that
// happens to hold one does not grant it: it must be named by itself.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), // nearly all
	netip.MustParseAddr("169.254.170.2"),   // containers on Amazon
	netip.MustParseAddr("169.254.170.23"),
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd00:ec2::23"),
	netip.MustParseAddr("fd20:ce::254"),    // Google
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
	netip.MustParseAddr("168.63.129.16"),   // Azure; a public one by its number
}

// Rules of refused addresses, as records name them.
const (
	ruleInner    = "http.fetch: inner addresses"
	ruleMetadata = "http.fetch: metadata addresses"
	ruleOwn      = "http.fetch: this machine's addresses"
)

// judge decides whether a connection may go to addr. granted are the ranges that
// the grant names.
func judge(addr netip.Addr, granted []netip.Prefix) error {
	if addr.Zone() != "" {
		return capability.Denyf(ruleInner, "address %s has a zone, so it is local", addr)
	}
	addr = plain(addr)
	if slices.Contains(metadata, addr) {
		if slices.Contains(granted, netip.PrefixFrom(addr, addr.BitLen())) {
			return nil
		}
		return capability.Denyf(ruleMetadata, "address %s hands out a machine's credentials; a grant must name exactly it", addr)
	}
	if slices.ContainsFunc(granted, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	if !public(addr) {
		return capability.Denyf(ruleInner, "address %s is not on the public internet, and the grant's addresses do not name it", addr)
	}
	if own(addr) {
		return capability.Denyf(ruleOwn, "address %s is this machine's own, and the grant's addresses do not name it", addr)
	}
	return nil
}

// plain undoes what only writes an IPv4 address in IPv6: the mapped form, and NAT64
// by its well-known prefix, which reaches the address it embeds.
func plain(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

func public(addr netip.Addr) bool {
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	if addr.Is4() {
		return !slices.ContainsFunc(inner, contains)
	}
	return outer6.Contains(addr) && !slices.ContainsFunc(inner6, contains) && !isatap(addr)
}

// isatap tells addresses that embed an IPv4 address in the interface identifier,
// for a router to tunnel to.
func isatap(addr netip.Addr) bool {
	b := addr.As16()
	return (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// own tells whether one of this machine's interfaces has addr: then connecting to
// it reaches the machine's own services, not the internet. When the interfaces
// cannot be listed, it is.
func own(addr netip.Addr) bool {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range interfaces {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == addr {
				return true
			}
		}
	}
	return false
}

// parseRange reads an address or a CIDR range of a grant.
func parseRange(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, addrErr := netip.ParseAddr(text)
		if addrErr != nil || a.Zone() != "" {
			return netip.Prefix{}, capability.Errorf(capability.Invalid, "addresses: %q is neither an address nor a range such as 10.0.0.0/8", text)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, capability.Errorf(capability.Invalid, "addresses: write %s as IPv4", text)
	}
	if p != p.Masked() {
		return netip.Prefix{}, capability.Errorf(capability.Invalid, "addresses: %s has bits set beyond its length; write %s", text, p.Masked())
	}
	return p, nil
}

// describe is an address and port as records show them.
func describe(host string, port uint16) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, port).String()
	}
	return fmt.Sprintf("%s:%d", host, port)
}

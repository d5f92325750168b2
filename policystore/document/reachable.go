package document

import (
	"net/netip"
	"slices"
)

// embedded are the prefixes by which networks without IPv4 write its addresses (RFC 6052 and
// 8215): the last four bytes.
var embedded = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48")}

// metadata are addresses of clouds' metadata services that are not link-local: of EC2, Google,
// Alibaba and Azure.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"),
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
}

// reachable tells addresses that a name may stand for. Whoever serves a name chooses its
// addresses: this machine's own, by "unspecified" and loopback, and metadata services must be
// named by their addresses.
func reachable(a netip.Addr) bool {
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() ||
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) || slices.Contains(metadata, a) {
		return false
	}
	if a.Is4() {
		return !netip.PrefixFrom(netip.IPv4Unspecified(), 8).Contains(a) // "this network" (RFC 1122): nobody else's
	}
	if slices.ContainsFunc(embedded, func(p netip.Prefix) bool { return p.Contains(a) }) {
		b := a.As16()
		return reachable(netip.AddrFrom4([4]byte(b[12:])))
	}
	return true
}

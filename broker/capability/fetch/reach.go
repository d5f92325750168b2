package fetch

import (
	"net/netip"
	"slices"
)

// Reach is who could be at an address, for what else of a node connects to where others say.
type Reach uint8

const (
	// Never are addresses at which a machine's credentials are handed out, and those that
	// nobody has business with over a network or that stand for others: link-local,
	// multicast, unspecified, and most that embed an IPv4 address.
	Never Reach = iota
	// Inner are addresses of this machine and of private networks.
	Inner
	// Public are those of the public internet.
	Public
)

// never are ranges with nothing to connect to, and the tunnels and translators to which
// [plain] does not see.
var never = prefixes("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
	"64:ff9b:1::/48", "2001::/32", "2002::/16", "fe80::/10", "ff00::/8")

// ReachOf judges an address. What it calls Public is what a grant without addresses permits.
func ReachOf(addr netip.Addr) Reach {
	if !addr.IsValid() || addr.Zone() != "" {
		return Never
	}
	addr = plain(addr)
	switch {
	case addr.IsUnspecified() || slices.Contains(metadata, addr) ||
		slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(addr) }):
		return Never
	case !public(addr) || own(addr):
		return Inner
	}
	return Public
}

package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseNetRule reads ADDRESS[/BITS][:PORTS], where PORTS are ports and ranges separated by
// commas, 443 or 443,8000-8100; an IPv6 address with ports is in brackets: [2001:db8::/32]:443.
// The rule is valid.
func ParseNetRule(text string) (NetRule, error) {
	address, ports := text, ""
	if rest, bracketed := strings.CutPrefix(text, "["); bracketed {
		inside, after, closed := strings.Cut(rest, "]")
		if !closed || (after != "" && !strings.HasPrefix(after, ":")) {
			return NetRule{}, invalid("address %q: expected [ADDRESS]:PORTS", text)
		}
		address, ports = inside, after
	} else if strings.Count(text, ":") == 1 {
		address, ports, _ = strings.Cut(text, ":")
		ports = ":" + ports
	}
	var r NetRule
	var err error
	if r.Prefix, err = parsePrefix(address); err != nil {
		return NetRule{}, invalid("address %q: %w", text, err)
	}
	if ports != "" {
		if r.Ports, err = parsePorts(ports[1:]); err != nil {
			return NetRule{}, invalid("address %q: %w", text, err)
		}
	}
	return r, r.validate()
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return netip.ParsePrefix(text)
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%w (names are not looked up; give an address)", err)
	}
	if a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("zone %s: rules have none", a.Zone())
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func parsePorts(text string) ([]PortRange, error) {
	var list []PortRange
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		var r PortRange
		for _, end := range []struct {
			text string
			to   *uint16
		}{{first, &r.First}, {last, &r.Last}} {
			n, err := strconv.ParseUint(end.text, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("port %q is not a number from 0 to 65535", end.text)
			}
			*end.to = uint16(n)
		}
		list = append(list, r)
	}
	return list, nil
}

package contract

import (
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// number reads a number or name of a field's kind.
func number(f *field, t token) (uint64, *Error) {
	if t.kind == tokenString {
		return 0, fault(t.at, "%s is %s and not a string", f.name, f.kind.one())
	}
	if names := enumerations[f.kind]; names != nil {
		n, ok := names[t.text]
		if !ok {
			known := slices.Sorted(maps.Keys(names))
			return 0, fault(t.at, "there is no %s %.40s; there are %s", f.kind, t.text, strings.Join(known, ", "))
		}
		return n, nil
	}
	digits := strings.TrimLeft(t.text, "0123456789")
	suffix := digits
	digits = t.text[:len(t.text)-len(suffix)]
	if digits == "" {
		return 0, fault(t.at, "%.40s is no number; %s is %s", t.text, f.name, f.kind.one())
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, fault(t.at, "%.40s is too large", t.text)
	}
	size, bad := scale(f, t, suffix, n)
	if bad != nil {
		return 0, bad
	}
	over, n := bits.Mul64(n, size)
	if over != 0 || n > f.kind.last() {
		return 0, fault(t.at, "%.40s is too large; %s is %d at most", t.text, f.kind.one(), f.kind.last())
	}
	return n, nil
}

// scale is what the unit of a number counts.
func scale(f *field, t token, suffix string, n uint64) (uint64, *Error) {
	list := units[f.kind]
	names := make([]string, len(list))
	for i, u := range list {
		if u.name == suffix {
			return u.size, nil
		}
		names[i] = u.name
	}
	switch {
	case suffix == "" && (f.kind != kindTime || n == 0):
		return 1, nil
	case suffix == "":
		return 0, fault(t.at, "%.40s has no unit; times have %s", t.text, strings.Join(names, ", "))
	case strings.ContainsAny(suffix, ".:/"):
		return 0, fault(t.at, "%.40s is no number; %s is %s", t.text, f.name, f.kind.one())
	case list == nil:
		return 0, fault(t.at, "%.40s has a unit; %s has none", t.text, f.kind.one())
	default:
		return 0, fault(t.at, "there is no unit %.40s%s; %s has %s", suffix, meant(suffix, names), f.kind.one(), strings.Join(names, ", "))
	}
}

// prefix reads an address, or where it may be one a prefix.
func prefix(t token, may bool) (netip.Prefix, *Error) {
	if t.kind == tokenString {
		return netip.Prefix{}, fault(t.at, "an address is written without quotes")
	}
	if !strings.Contains(t.text, "/") {
		a, err := netip.ParseAddr(t.text)
		if err != nil {
			return netip.Prefix{}, fault(t.at, "%.60s is no address", t.text)
		}
		if a.Is4In6() {
			return netip.Prefix{}, fault(t.at, "%s is IPv4 inside IPv6; write %s", a, a.Unmap())
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(t.text)
	switch {
	case err != nil:
		return p, fault(t.at, "%.60s is no prefix of addresses", t.text)
	case !may:
		return p, fault(t.at, "%s is a prefix; write in {%s}", p, p)
	case p.Addr().Is4In6():
		return p, fault(t.at, "%s is IPv4 inside IPv6; write it as IPv4", p)
	case p != p.Masked():
		return p, fault(t.at, "%s has bits beyond its length; %s is meant, or a longer one", p, p.Masked())
	}
	return p, nil
}

package document

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Explain says whether the sandbox permits a deed, by which rule, and who enforces it. It
// is what every layer that is exact does. It knows no counters: a quota or a contract may
// still refuse what it permits. A query that asks about nothing, or about several things,
// is denied.
func (c *Compiled) Explain(q Query) Verdict {
	asked := 0
	for _, is := range []bool{q.Path != "", q.Address.IsValid(), q.Host != "", q.Import != ""} {
		if is {
			asked++
		}
	}
	switch {
	case asked != 1:
		return Verdict{Layer: layerNode, Why: "ask about one path, address, host or import"}
	case q.Path != "":
		return c.explainPath(q.Path, q.Access)
	case q.Import != "":
		return c.explainImport(q.Import)
	case q.Host != "":
		return c.explainHost(strings.ToLower(strings.TrimSuffix(q.Host, ".")), q.Port)
	}
	return c.explainAddress(q.Address)
}

func (c *Compiled) explainPath(name string, want policy.Access) Verdict {
	v := Verdict{Layer: layerBoth}
	if !strings.HasPrefix(name, "/") || path.Clean(name) != name || want == 0 {
		v.Why = "ask about an absolute, clean path, and about reading or writing it"
		return v
	}
	if r, denied := c.files.denied(name); denied {
		v.Rule, v.Line = r.String(), r.at.Line
		v.Why = "a deny beats every allow"
		return v
	}
	given, first := c.files.permitted(name, want)
	if first.pattern.text != "" {
		v.Rule, v.Line = first.String(), first.at.Line
	}
	switch {
	case given&want == want:
		v.Allowed, v.Why = true, fmt.Sprintf("the rules about it give %s", given)
		if first.pattern.glob != "" {
			v.Layer = layerBoth + "; where the kernel judges by prefix, the gate alone is exact"
		}
	case given == 0:
		v.Why = "no rule is about it; Python's own library can be read all the same"
	default:
		v.Why = fmt.Sprintf("the rules about it give %s, and not %s", given, want&^given)
	}
	return v
}

func (c *Compiled) explainImport(module string) Verdict {
	v := Verdict{Layer: layerGate}
	if !moduleRE.MatchString(module) || module == "*" {
		v.Why = "this is not the name of a module"
		return v
	}
	if slices.Contains(alwaysImported, module) {
		v.Allowed, v.Why = true, "every guest may name it"
		return v
	}
	for name := module; name != ""; name = name[:max(strings.LastIndexByte(name, '.'), 0)] {
		if neverImported(name) {
			v.Why = "no guest may name " + name + ", whatever is granted"
			return v
		}
	}
	for _, m := range c.imports {
		if grantsModule(m.name, module) {
			v.Allowed, v.Rule, v.Line = true, "imports: "+m.name, m.at.Line
			v.Why = "it is granted; what it imports itself is its own business"
			return v
		}
	}
	v.Why = "no rule grants it"
	return v
}

func (c *Compiled) explainAddress(peer netip.AddrPort) Verdict {
	v := Verdict{Layer: layerKernel}
	peer = netip.AddrPortFrom(peer.Addr().Unmap().WithZone(""), peer.Port())
	if !peer.IsValid() {
		v.Why = "this is not an address"
		return v
	}
	if peer.Addr().IsUnspecified() {
		v.Why = "nothing permits it, whatever is granted: the kernel takes this machine for it"
		return v
	}
	c.net.covering(netip.PrefixFrom(peer.Addr(), peer.Addr().BitLen()), func(r *netRule) bool {
		if !r.hasPort(peer.Port()) || (v.Line > 0 && !r.denies()) {
			return true
		}
		v.Rule, v.Line, v.Allowed = r.String(), r.at.Line, !r.denies()
		return v.Allowed
	})
	switch {
	case v.Line == 0:
		v.Why = "no rule is about it"
	case v.Allowed:
		v.Why = "a rule permits it"
	default:
		v.Why = "a deny beats every connect"
	}
	return v
}

// explainHost judges a name: a rule must name it, and of its addresses, where they are
// known, one must not be denied.
func (c *Compiled) explainHost(host string, port uint16) Verdict {
	v := Verdict{Layer: layerKernel, Why: "no rule names it"}
	known := false
	for _, r := range c.hosts {
		if r.host != host || !r.hasPort(port) {
			continue
		}
		if !r.prefix.IsValid() {
			v.Rule, v.Line = r.String(), r.at.Line
			continue
		}
		known = true
		if at := c.explainAddress(netip.AddrPortFrom(r.prefix.Addr(), port)); at.Allowed {
			v.Allowed, v.Why = true, fmt.Sprintf("a rule names it, and it is %s at the moment", r.prefix.Addr())
			return v
		}
	}
	switch {
	case known:
		v.Why = "a rule names it, and all its addresses are denied"
	case v.Line > 0:
		v.Allowed, v.Why = true, "a rule names it: the addresses that the node finds for it are permitted, but for those denied"
	}
	return v
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

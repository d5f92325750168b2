package document

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/broker/capability"
)

func (c *Compiled) grant(name string) (capability.Grant, bool) {
	i := slices.IndexFunc(c.Grants, func(g capability.Grant) bool { return g.Capability == name })
	if i < 0 {
		return capability.Grant{}, false
	}
	return c.Grants[i], true
}

func gainedGrants(from, to *Compiled) (gained []string) {
	for _, g := range to.Grants {
		if _, had := from.grant(g.Capability); !had {
			gained = append(gained, grantText(g))
		}
	}
	return gained
}

// changedGrants are those whose scope or limits differ: which is more, only the capability
// knows.
func changedGrants(before, after *Compiled) (changed []string) {
	for _, g := range after.Grants {
		if old, had := before.grant(g.Capability); had && grantText(old) != grantText(g) {
			changed = append(changed, arrow(grantText(old), grantText(g)))
		}
	}
	return changed
}

func grantText(g capability.Grant) string {
	text := g.Capability
	if len(g.Scope) > 0 {
		text += " " + string(g.Scope)
	}
	if g.Limits != (capability.Limits{}) {
		limits, err := json.Marshal(g.Limits)
		if err != nil {
			return text // numbers within their bounds always marshal
		}
		text += " with " + string(limits)
	}
	return text
}

func changedExtra(before, after *Compiled) (changed []string) {
	names := append(sortedKeys(before.extraSource), sortedKeys(after.extraSource)...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if a, b := before.extraSource[name], after.extraSource[name]; a != b {
			changed = append(changed, fmt.Sprintf("%s: %s", name, arrow(a, b)))
		}
	}
	return changed
}

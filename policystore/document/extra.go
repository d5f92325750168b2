package document

import (
	"encoding/json"
	"slices"
	"strings"
)

// extra is a plug-in's key as written.
type extra struct {
	name  string // without the prefix
	value json.RawMessage
	node  *node
	at    Pos
}

// decodeExtra reads a key that begins with extraPrefix.
func (r *reporter) decodeExtra(p pair) (extra, bool) {
	name := strings.TrimPrefix(p.key.text, extraPrefix)
	if !extraRE.MatchString(name) || len(name) > 64 {
		r.at(p.key.at, "use lower-case letters, digits and single dashes", "%s is not a valid name for a plug-in's key", shown(p.key.text))
		return extra{}, false
	}
	value, ok := r.json(p.value)
	return extra{name, value, p.value, p.key.at}, ok
}

// mergeExtra is a child's keys over its parent's, sorted.
func mergeExtra(parent, child []extra) []extra {
	all := slices.Clone(child)
	for _, e := range parent {
		if !slices.ContainsFunc(child, func(c extra) bool { return c.name == e.name }) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b extra) int { return strings.Compare(a.name, b.name) })
	return all
}

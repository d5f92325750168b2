package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// grants are capabilities by name.
type grants struct {
	byName map[string]granted
	set    bool
}

// granted is one capability as written.
type granted struct {
	grant capability.Grant
	value *node
	at    Pos
}

func (g *grants) decode(r *reporter, k *key, n *node) {
	g.set = true
	if n.kind != mappingNode {
		r.at(n.at, "write http.fetch: {hosts: [\"api.example.com\"]}, or NAME: {} for one without a scope", "%s is a map from names to grants, and not %s", k.name, n.kind)
		return
	}
	g.byName = map[string]granted{}
	for _, p := range n.pairs {
		value, ok := r.json(p.value)
		if !ok {
			continue
		}
		grant, err := capability.NewGrant(p.key.text, value)
		if err != nil {
			r.at(p.key.at, "see docs/capabilities.md", "%s", capabilityText(err))
			continue
		}
		grant.Rule = fmt.Sprintf("%s:%d", r.file, p.key.at.Line)
		g.byName[p.key.text] = granted{grant, p.value, p.key.at}
	}
}

// capabilityText is an error without its kind, which is always that the value is invalid.
func capabilityText(err error) string {
	var e *capability.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func (g *grants) encode() *node {
	if !g.set {
		return nil
	}
	m := mapping()
	for _, name := range slices.Sorted(maps.Keys(g.byName)) {
		m.pairs = append(m.pairs, pair{quoted(name), sortedValue(g.byName[name].value)})
	}
	return m
}

func (g *grants) inherit(parent field) {
	p := parent.(*grants)
	all := maps.Clone(p.byName)
	if all == nil {
		all = map[string]granted{}
	}
	maps.Copy(all, g.byName)
	g.byName, g.set = all, g.set || p.set
}

// json is a value as JSON. Without quotes only what is the same to every reader of YAML is
// taken: decimal numbers, true, false, null, and words that are nothing else.
func (r *reporter) json(n *node) (json.RawMessage, bool) {
	before := len(r.problems)
	value := r.plainValue(n)
	text, err := json.Marshal(value)
	if err != nil {
		r.at(n.at, "", "%v", err)
	}
	return text, len(r.problems) == before && err == nil
}

func (r *reporter) plainValue(n *node) any {
	switch n.kind {
	case mappingNode:
		m := map[string]any{}
		for _, p := range n.pairs {
			m[p.key.text] = r.plainValue(p.value)
		}
		return m
	case sequenceNode:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = r.plainValue(item)
		}
		return list
	}
	switch {
	case !n.plain:
		return n.text
	case n.text == "" || n.text == "null":
		return nil
	case n.text == "true", n.text == "false":
		return n.text == "true"
	case jsonNumberRE.MatchString(n.text):
		return json.Number(n.text)
	}
	text, _ := r.word(n, "text")
	return text
}

// sortedValue is a value with its maps in the order of their keys, as JSON would have it.
func sortedValue(n *node) *node {
	c := &node{kind: n.kind, text: n.text, plain: n.plain && (n.empty() || ambiguous[n.text] || jsonNumberRE.MatchString(n.text))}
	if n.empty() {
		c.text = "null"
	}
	for _, item := range n.items {
		c.items = append(c.items, sortedValue(item))
	}
	for _, p := range n.pairs {
		c.pairs = append(c.pairs, pair{quoted(p.key.text), sortedValue(p.value)})
	}
	slices.SortFunc(c.pairs, func(a, b pair) int { return strings.Compare(a.key.text, b.key.text) })
	return c
}

package document

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// fileRule is one path of a rule for files.
type fileRule struct {
	verb    string
	access  policy.Access // of what is permitted; 0 denies
	pattern pattern
	at      Pos
}

func (f fileRule) denies() bool { return f.access == 0 }

// about tells whether the rule is about a clean absolute path in which no link is left.
func (f fileRule) about(name string) bool {
	switch {
	case f.pattern.glob == "":
		return under(name, f.pattern.base)
	case f.denies():
		return policy.Covers(f.pattern.glob, name)
	}
	return policy.Match(f.pattern.glob, name)
}

func (f fileRule) String() string { return f.verb + ": " + f.pattern.text }

// fileRules are all of a sandbox, in the order of the text.
type fileRules struct {
	rules []fileRule
	set   bool
}

// fileVerbs are what a rule for files can say.
var fileVerbs = map[string]policy.Access{
	"allow": policy.Read | policy.Write,
	"read":  policy.Read,
	"write": policy.Write,
	"deny":  0,
}

func (f *fileRules) decode(r *reporter, k *key, n *node) {
	f.set = true
	r.rules(n, k.name, []string{"allow", "read", "write", "deny"}, "a path", func(verb string, path *node) {
		about, err := parsePattern(path.text)
		if err != nil {
			r.at(path.at, "", "%s: %v", shown(path.text), err)
			return
		}
		f.rules = append(f.rules, fileRule{verb: verb, access: fileVerbs[verb], pattern: about, at: path.at})
	})
}

func (f *fileRules) encode() *node {
	if !f.set {
		return nil
	}
	list := sequence()
	for _, rule := range f.rules {
		list.items = append(list.items, mapping(entry(rule.verb, quoted(rule.pattern.meaning()))))
	}
	return list
}

func (f *fileRules) inherit(parent field) {
	p := parent.(*fileRules)
	f.rules = slices.Concat(p.rules, f.rules)
	f.set = f.set || p.set
}

// rules reads a list of maps from verbs to a text or a list of them, and calls each for
// every text.
func (r *reporter) rules(n *node, name string, verbs []string, what string, each func(verb string, text *node)) {
	if n.kind != sequenceNode {
		r.at(n.at, fmt.Sprintf("write a list of rules, each as - %s: …", verbs[0]), "%s is a list, and not %s", name, n.kind)
		return
	}
	for _, item := range n.items {
		if item.kind != mappingNode {
			r.at(item.at, fmt.Sprintf("write - %s: %s", verbs[0], item.text), "a rule of %s says one of %s", name, strings.Join(verbs, ", "))
			continue
		}
		for _, p := range item.pairs {
			if !slices.Contains(verbs, p.key.text) {
				r.at(p.key.at, meant(p.key.text, verbs), "a rule of %s says one of %s, and not %s", name, strings.Join(verbs, ", "), shown(p.key.text))
				continue
			}
			for _, text := range r.words(p.value, what) {
				each(p.key.text, text)
			}
		}
	}
}

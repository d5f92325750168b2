package document

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Parse reads a document. The file is a name for messages and for the rules of grants. Its
// error is of type [Problems] and has all that is wrong with the text, as far as one fault
// does not hide another. What only shows when a sandbox is compiled, [Document.Check] finds.
func Parse(file string, text []byte) (*Document, error) {
	r := &reporter{file: file}
	root := parseYAML(r, text)
	if root == nil {
		return nil, r.err()
	}
	d := &Document{file: file, lines: r.lines}
	p := parsing{r, d}
	p.document(root)
	if r.err() == nil {
		p.checkChains()
	}
	if r.err() == nil {
		p.checkAmounts()
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	d.canonical = d.print()
	return d, nil
}

// parsing fills a document in.
type parsing struct {
	*reporter
	d *Document
}

const (
	keyVersion   = "version"
	keyDefaults  = "defaults"
	keySandboxes = "sandboxes"
)

var topKeys = []string{keyVersion, keyDefaults, keySandboxes}

func (p parsing) document(root *node) {
	if root.kind != mappingNode {
		p.at(root.at, `begin with "version: 1.0"`, "a document is a map, and not %s", root.kind)
		return
	}
	p.d.version = p.version(root)
	if p.d.version == "" {
		return
	}
	p.d.defaults = &sandbox{}
	var legacy *node
	for _, pair := range root.pairs {
		switch name := pair.key.text; {
		case name == keyVersion:
		case name == keyDefaults:
			p.d.defaults = p.sandbox(&sandbox{at: pair.key.at}, pair.value, false)
		case name == keySandboxes:
			p.sandboxes(pair.value)
		case p.d.version == Version01 && isSandboxKey(name):
			legacy = cmp.Or(legacy, pair.key)
		default:
			p.unknownTop(pair.key)
		}
	}
	if legacy != nil {
		p.legacy(root, legacy.at)
	}
	if len(p.d.sandboxes) == 0 && len(p.problems) == 0 {
		p.at(root.at, "write sandboxes: {main: {imports: [math]}}", "the document has no sandboxes")
	}
}

func (p parsing) unknownTop(key *node) {
	hint := meant(key.text, topKeys)
	if hint == "" && isSandboxKey(key.text) {
		hint = "it belongs into a sandbox, below sandboxes: NAME:"
	}
	p.at(key.at, hint, "a document has no key %s; it has %s", shown(key.text), strings.Join(topKeys, ", "))
}

// version finds the version first: it says how the rest is read.
func (p parsing) version(root *node) string {
	for _, pair := range root.pairs {
		if pair.key.text != keyVersion {
			continue
		}
		v := pair.value
		if v.kind != scalarNode || (v.text != Version01 && v.text != Version10) {
			hint := "write version: 1.0"
			if v.text == "1" {
				hint = "write version: 1.0, with its zero"
			}
			p.at(v.at, hint, "the version is not known; there are 0.1 and 1.0")
			return ""
		}
		return v.text
	}
	p.at(root.at, "write version: 1.0 in the first line", "the document does not say its version")
	return ""
}

// sandboxRE is what a sandbox may be called: no colon, as FILE:SANDBOX names one.
var sandboxRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

func (p parsing) sandboxes(n *node) {
	if n.kind != mappingNode {
		p.at(n.at, "write sandboxes: {main: {…}}", "sandboxes is a map from names to sandboxes, and not %s", n.kind)
		return
	}
	for i, pair := range n.pairs {
		name := pair.key.text
		switch {
		case i == MaxSandboxes:
			p.at(pair.key.at, "use several documents", "there are more than %d sandboxes", MaxSandboxes)
			return
		case !sandboxRE.MatchString(name):
			p.at(pair.key.at, "use up to 64 letters, digits, '_', '-' and '.'", "%s is not a valid name for a sandbox", shown(name))
			continue
		}
		p.d.sandboxes = append(p.d.sandboxes, p.sandbox(&sandbox{name: name, at: pair.key.at}, pair.value, true))
	}
}

// sandbox reads the keys of one. The defaults, which have no name, cannot extend.
func (p parsing) sandbox(s *sandbox, n *node, extends bool) *sandbox {
	if n.empty() {
		p.at(n.at, "write {} if it is to have nothing", "there is no value")
		return s
	}
	if n.kind != mappingNode {
		p.at(n.at, "write KEY: VALUE below it", "a sandbox is a map, and not %s", n.kind)
		return s
	}
	for _, pair := range n.pairs {
		p.key(s, pair, extends)
	}
	s.extra = mergeExtra(nil, s.extra)
	return s
}

func (p parsing) key(s *sandbox, pair pair, extends bool) {
	name := pair.key.text
	k := keysByName[name]
	switch {
	case name == "extends" && extends:
		if text, ok := p.word(pair.value, "the name of a sandbox"); ok {
			s.extends, s.extendsAt = text, pair.value.at
		}
	case name == "extends" && s.name == LegacySandbox:
		p.at(pair.key.at, "write sandboxes: with both below it", "the document has one sandbox, of the keys at the top, and no other to extend")
	case name == "extends":
		p.at(pair.key.at, "write the keys here", "the defaults extend nothing")
	case p.d.version == Version01 && p.legacyKey(s, pair):
	case k != nil && pair.value.empty():
		p.at(pair.value.at, emptyHint(k), "%s has no value", name)
	case k != nil:
		k.of(s).decode(p.reporter, k, pair.value)
	case strings.HasPrefix(name, extraPrefix):
		if e, ok := p.decodeExtra(pair); ok {
			s.extra = append(s.extra, e)
		}
	default:
		p.at(pair.key.at, p.keyHint(name), "a sandbox has no key %s", shown(name))
	}
}

func emptyHint(k *key) string {
	switch k.of(&sandbox{}).(type) {
	case *imports, *fileRules, *netRules, *contracts:
		return fmt.Sprintf("write %s: [] for none", k.name)
	}
	return "write a value, or take the key out"
}

// otherNames are what keys are called elsewhere.
var otherNames = map[string]string{
	"mem_bytes": "mem: 64MiB", "memory": "mem: 64MiB", "cpu_percent": "cpu: 500ms/1s", "timeout": "wall: 30s",
	"network": "net: [{connect: ADDRESS}]", "filesystem": "fs: [{read: PATH}]", "modules": "imports: [NAME]",
}

// keyHint says what may have been meant by a key that there is not.
func (p parsing) keyHint(name string) string {
	if meant := otherNames[name]; meant != "" {
		return "write " + meant
	}
	if slices.Contains(topKeys, name) {
		return name + " stands at the top of the document"
	}
	if hint := meant(name, keyNames()); hint != "" {
		return hint
	}
	return "the keys are in docs/policy.md; those of plug-ins begin with " + extraPrefix
}

func isSandboxKey(name string) bool {
	return keysByName[name] != nil || legacyKeys[name] != nil || name == "extends" || strings.HasPrefix(name, extraPrefix)
}

package document

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// print is the canonical form.
func (d *Document) print() []byte {
	root := mapping(entry(keyVersion, plain(Version10)))
	if n := d.defaults.encode(); len(n.pairs) > 0 {
		root.pairs = append(root.pairs, entry(keyDefaults, n))
	}
	list := mapping()
	for _, s := range d.sandboxes {
		list.pairs = append(list.pairs, pair{quoted(s.name), s.encode()})
	}
	root.pairs = append(root.pairs, entry(keySandboxes, list))
	var b bytes.Buffer
	printPairs(&b, root, 0)
	return b.Bytes()
}

func (s *sandbox) encode() *node {
	m := mapping()
	if s.extends != "" {
		m.pairs = append(m.pairs, entry("extends", quoted(s.extends)))
	}
	for _, k := range keys {
		if n := k.of(s).encode(); n != nil {
			m.pairs = append(m.pairs, entry(k.name, n))
		}
	}
	for _, e := range s.extra {
		m.pairs = append(m.pairs, entry(extraPrefix+e.name, sortedValue(e.node)))
	}
	return m
}

// printPairs writes a map's entries, each on lines of its own.
func printPairs(b *bytes.Buffer, m *node, indent int) {
	for _, p := range m.pairs {
		b.WriteString(strings.Repeat("  ", indent))
		printKey(b, p.key)
		switch {
		case p.value.kind == mappingNode && len(p.value.pairs) > 0:
			endLine(b)
			printPairs(b, p.value, indent+1)
		case p.value.kind == sequenceNode && len(p.value.items) > 0:
			endLine(b)
			printItems(b, p.value, indent+1)
		default:
			printInline(b, p.value)
			b.WriteByte('\n')
		}
	}
}

func printItems(b *bytes.Buffer, s *node, indent int) {
	for _, item := range s.items {
		b.WriteString(strings.Repeat("  ", indent) + "- ")
		if item.kind == mappingNode && len(item.pairs) == 1 {
			printKey(b, item.pairs[0].key)
			item = item.pairs[0].value
		}
		printInline(b, item)
		b.WriteByte('\n')
	}
}

// printInline writes a value on one line.
func printInline(b *bytes.Buffer, n *node) {
	switch n.kind {
	case mappingNode:
		b.WriteByte('{')
		for i, p := range n.pairs {
			if i > 0 {
				b.WriteString(", ")
			}
			printKey(b, p.key)
			printInline(b, p.value)
		}
		b.WriteByte('}')
	case sequenceNode:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(", ")
			}
			printInline(b, item)
		}
		b.WriteByte(']')
	default:
		printScalar(b, n)
	}
}

// printKey writes a key, its colon and a space; in quotes unless it is a word to every
// reader.
func printKey(b *bytes.Buffer, n *node) {
	if bareRE.MatchString(n.text) && !ambiguous[strings.ToLower(n.text)] {
		b.WriteString(n.text)
	} else {
		b.WriteString(quote(n.text))
	}
	b.WriteString(": ")
}

var bareRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// endLine ends a line behind a key, without the space.
func endLine(b *bytes.Buffer) {
	b.Truncate(b.Len() - 1)
	b.WriteByte('\n')
}

func printScalar(b *bytes.Buffer, n *node) {
	if n.plain {
		b.WriteString(n.text)
		return
	}
	b.WriteString(quote(n.text))
}

// quote is text in YAML's double quotes, whose escapes JSON's are part of.
func quote(text string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return `""` // a string always encodes
	}
	return escapeControls(strings.TrimSuffix(b.String(), "\n"))
}

// escapeControls escapes what JSON leaves as it is and a document may not have.
func escapeControls(text string) string {
	if strings.IndexFunc(text, control) < 0 {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		if control(c) {
			const hex = "0123456789abcdef"
			b.WriteString(`\u` + string([]byte{hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15]}))
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

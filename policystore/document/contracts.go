package document

import (
	"errors"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/contract"
)

// contracts are assertions in the language of package contract.
type contracts struct {
	texts []named // the text stands for the name
	set   bool
}

func (c *contracts) decode(r *reporter, k *key, n *node) {
	c.set = true
	items := []*node{n}
	if n.kind == sequenceNode {
		items = n.items
	}
	for _, item := range items {
		if len(r.problems) >= MaxProblems {
			return // finding where a fault is takes as long as its line
		}
		if item.kind != scalarNode || item.empty() {
			r.at(item.at, `write "connects <= 10"`, "%s is a list of assertions, each a text", k.name)
			continue
		}
		if c.check(r, item) {
			c.texts = append(c.texts, named{strings.TrimRight(item.text, "\n"), item.at})
		}
	}
}

// check reports what is wrong with a contract at its place in the document.
func (c *contracts) check(r *reporter, n *node) bool {
	_, err := contract.Parse(n.text)
	if err == nil {
		return true
	}
	var faults contract.Errors
	if !errors.As(err, &faults) {
		r.at(n.at, "", "%v", err)
		return false
	}
	for _, f := range faults {
		r.at(r.inside(n, f.Position), "see docs/contracts.md", "%s", f.Text)
	}
	return false
}

// inside is where a place within a text is in the document. Where escapes make that hard to
// say, it is where the text begins.
func (r *reporter) inside(n *node, p contract.Position) Pos {
	lines := strings.Split(n.text, "\n")
	if p.Line > len(lines) {
		return n.at
	}
	want, line, first := lines[p.Line-1], n.at.Line, n.at.Column
	if n.literal {
		line, first = line+p.Line, 1
	} else if p.Line > 1 {
		return n.at
	}
	if line > len(r.lines) {
		return n.at
	}
	source := []rune(r.lines[line-1])
	if first > len(source) {
		return n.at
	}
	before, _, found := strings.Cut(string(source[first-1:]), want)
	if !found {
		return n.at
	}
	return Pos{line, first + len([]rune(before)) + p.Column - 1}
}

func (c *contracts) encode() *node {
	if !c.set {
		return nil
	}
	list := sequence()
	for _, t := range c.texts {
		list.items = append(list.items, quoted(t.name))
	}
	return list
}

func (c *contracts) inherit(parent field) {
	p := parent.(*contracts)
	c.texts = slices.Concat(p.texts, c.texts)
	c.set = c.set || p.set
}

// join is all of them as one contract.
func (c *contracts) join() string {
	texts := make([]string, len(c.texts))
	for i, t := range c.texts {
		texts[i] = t.name
	}
	return strings.Join(texts, "\n")
}

package document

import (
	"strconv"
	"time"
)

// single is a value that a child's replaces.
type single[T any] struct {
	value T
	at    Pos
	set   bool
}

func (s *single[T]) give(value T, at Pos) { *s = single[T]{value, at, true} }

func (s *single[T]) take(parent *single[T]) {
	if !s.set {
		*s = *parent
	}
}

// The types of single values. The canonical form of each is read back by its decode.
type (
	word      struct{ single[string] }
	count     struct{ single[int64] }
	size      struct{ single[int64] }
	rate      struct{ single[int64] }
	duration  struct{ single[time.Duration] }
	placement struct{ single[string] }
	budget    struct{ single[window] }
)

// window is processor time in each period of wall time.
type window struct{ cpu, period time.Duration }

func (w *word) decode(r *reporter, k *key, n *node) {
	if text, ok := r.choice(n, k.name, k.choices); ok {
		w.give(text, n.at)
	}
}

func (w *word) encode() *node { return onlySet(w.set, plain(w.value)) }

func (w *word) inherit(parent field) { w.take(&parent.(*word).single) }

func (c *count) decode(r *reporter, k *key, n *node) {
	if v, ok := r.integer(n, k.name, k.least, k.most); ok {
		c.give(v, n.at)
	}
}

func (c *count) encode() *node { return onlySet(c.set, number(c.value)) }

func (c *count) inherit(parent field) { c.take(&parent.(*count).single) }

func (s *size) decode(r *reporter, k *key, n *node) {
	if v, ok := r.unit(n, k, "a size, as 64MiB", ParseSize, FormatSize); ok {
		s.give(v, n.at)
	}
}

func (s *size) encode() *node { return onlySet(s.set, plain(FormatSize(s.value))) }

func (s *size) inherit(parent field) { s.take(&parent.(*size).single) }

func (v *rate) decode(r *reporter, k *key, n *node) {
	if bytes, ok := r.unit(n, k, "a rate, as 10MiB/s", ParseRate, formatRate); ok {
		v.give(bytes, n.at)
	}
}

func (v *rate) encode() *node { return onlySet(v.set, plain(formatRate(v.value))) }

func (v *rate) inherit(parent field) { v.take(&parent.(*rate).single) }

func formatRate(n int64) string { return FormatSize(n) + "/s" }

func (d *duration) decode(r *reporter, k *key, n *node) {
	read := func(text string) (int64, error) {
		v, err := ParseDuration(text)
		return int64(v), err
	}
	show := func(v int64) string { return FormatDuration(time.Duration(v)) }
	if v, ok := r.unit(n, k, "a duration, as 30s", read, show); ok {
		d.give(time.Duration(v), n.at)
	}
}

func (d *duration) encode() *node { return onlySet(d.set, plain(FormatDuration(d.value))) }

func (d *duration) inherit(parent field) { d.take(&parent.(*duration).single) }

func (b *budget) decode(r *reporter, k *key, n *node) {
	text, ok := r.measure(n, "processor time per window, as 500ms/1s")
	if !ok {
		return
	}
	cpu, period, err := ParseBudget(text)
	if err != nil {
		r.at(n.at, "", "%s: %v", k.name, err)
		return
	}
	b.give(window{cpu, period}, n.at)
}

func (b *budget) encode() *node {
	return onlySet(b.set, plain(FormatDuration(b.value.cpu)+"/"+FormatDuration(b.value.period)))
}

func (b *budget) inherit(parent field) { b.take(&parent.(*budget).single) }

func (p *placement) decode(r *reporter, k *key, n *node) {
	if n.kind == scalarNode && n.plain && decimalRE.MatchString(n.text) {
		if v, ok := r.integer(n, k.name, k.least, k.most); ok {
			p.give(strconv.FormatInt(v, 10), n.at)
		}
		return
	}
	if text, ok := r.word(n, "auto or the number of a node"); ok {
		if text != "auto" {
			r.at(n.at, "write auto, or the number of a node", "%s %s is not known", k.name, shown(text))
			return
		}
		p.give(text, n.at)
	}
}

func (p *placement) encode() *node { return onlySet(p.set, plain(p.value)) }

func (p *placement) inherit(parent field) { p.take(&parent.(*placement).single) }

func onlySet(set bool, n *node) *node {
	if !set {
		return nil
	}
	return n
}

// measure is the text of a scalar with a unit, which may look like a number.
func (r *reporter) measure(n *node, what string) (string, bool) {
	if n.kind != scalarNode || n.empty() {
		r.at(n.at, "write "+what, "there is no value")
		return "", false
	}
	return n.text, true
}

// unit reads a scalar with a unit, within the key's bounds.
func (r *reporter) unit(n *node, k *key, what string, read func(string) (int64, error), show func(int64) string) (int64, bool) {
	text, ok := r.measure(n, what)
	if !ok {
		return 0, false
	}
	v, err := read(text)
	if err != nil {
		r.at(n.at, "", "%s: %v", k.name, err)
		return 0, false
	}
	if v < k.least || v > k.most {
		r.at(n.at, "", "%s is %s; it must be from %s to %s", k.name, text, show(k.least), show(k.most))
		return 0, false
	}
	return v, true
}

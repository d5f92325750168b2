package document

import (
	"fmt"
	"strings"
)

// checkChains reports parents that there are not, and cycles.
func (p parsing) checkChains() {
	for _, s := range p.d.sandboxes {
		if s.extends == "" {
			continue
		}
		if p.d.named(s.extends) == nil {
			p.at(s.extendsAt, meant(s.extends, p.d.Sandboxes()), "there is no sandbox %s; there are %s", shown(s.extends), p.d.list())
			continue
		}
		if cycle := p.d.cycle(s); cycle != nil {
			p.at(s.extendsAt, "take one extends out", "sandboxes extend each other: %s", chainText(cycle))
		}
	}
}

// cycle is the way from a sandbox over its parents back to itself, nil if there is none. It
// begins with the first of the text, so that each cycle is reported once.
func (d *Document) cycle(s *sandbox) []*sandbox {
	way := []*sandbox{s}
	for at := d.named(s.extends); at != nil && len(way) <= len(d.sandboxes); at = d.named(at.extends) {
		way = append(way, at)
		if at == s {
			for _, other := range way {
				if other.at.Line < s.at.Line || (other.at.Line == s.at.Line && other.at.Column < s.at.Column) {
					return nil
				}
			}
			return way
		}
	}
	return nil
}

func chainText(way []*sandbox) string {
	names := make([]string, len(way))
	for i, s := range way {
		names[i] = s.name
	}
	return strings.Join(names, " → ")
}

// named finds a sandbox; nil if there is none.
func (d *Document) named(name string) *sandbox {
	for _, s := range d.sandboxes {
		if s.name == name {
			return s
		}
	}
	return nil
}

// list is the sandboxes' names for a message.
func (d *Document) list() string {
	const most = 10
	names := d.Sandboxes()
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// effective is a sandbox with all that it inherits: the defaults, its parents from the
// first to the last, and itself.
func (d *Document) effective(s *sandbox) *sandbox {
	chain := []*sandbox{s}
	for at := d.named(s.extends); at != nil; at = d.named(at.extends) {
		chain = append(chain, at)
	}
	merged := d.defaults
	for i := len(chain) - 1; i >= 0; i-- {
		merged = merge(merged, chain[i])
	}
	return merged
}

package document

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// fileIndex has file rules by the directory that all they are about is in.
type fileIndex map[string][]fileRule

func indexFiles(rules []fileRule) fileIndex {
	x := fileIndex{}
	for _, r := range rules {
		x[r.pattern.base] = append(x[r.pattern.base], r)
	}
	return x
}

// denied finds a rule that denies a path whatever else there is.
func (x fileIndex) denied(name string) (rule fileRule, found bool) {
	above(name, func(dir string) bool {
		for _, r := range x[dir] {
			if r.denies() && r.about(name) {
				rule, found = r, true
				return false
			}
		}
		return true
	})
	return rule, found
}

// permitted is what all rules that permit give at a path, and those rules' first that gives
// some of what is wanted.
func (x fileIndex) permitted(name string, want policy.Access) (given policy.Access, first fileRule) {
	above(name, func(dir string) bool {
		for _, r := range x[dir] {
			if r.denies() || !r.about(name) {
				continue
			}
			if first.pattern.text == "" && r.access&want != 0 {
				first = r
			}
			given |= r.access
		}
		return true
	})
	return given, first
}

// place is what the rules without wildcards say of one path, and not of those above it.
type place struct {
	given  policy.Access
	denied bool
}

// places has those of all paths that rules without wildcards name.
type places map[string]place

func placesOf(rules []fileRule) places {
	of := places{}
	for _, r := range rules {
		if r.pattern.glob == "" {
			p := of[r.pattern.base]
			of[r.pattern.base] = place{p.given | r.access, p.denied || r.denies()}
		}
	}
	return of
}

// at is what they give at a path: what all above it give together, and nothing where one
// denies.
func (of places) at(name string) (all place) {
	above(name, func(dir string) bool {
		p := of[dir]
		all = place{all.given | p.given, all.denied || p.denied}
		return !all.denied
	})
	return all
}

// files makes of rules of which deny beats allow such of which the longest path decides: at
// each path what all rules above it give together; nothing where a deny is; and no path or
// glob below a deny. What globs deny stays beside it: it beats every rule by itself.
func (c *compiling) files() {
	rules := c.s.fs.rules
	c.out.files = indexFiles(rules)
	of := placesOf(rules)
	globs := map[string]policy.FileRule{}
	for _, r := range rules {
		glob := r.pattern.glob
		if glob == "" {
			continue
		}
		if r.denies() {
			glob = strings.TrimSuffix(glob, allBelow) // as denied is all below
		} else if of.at(r.pattern.base).denied {
			continue
		}
		rule, twice := globs[glob]
		access := rule.Access | r.access
		if r.denies() || (twice && rule.Access == 0) {
			access = 0
		}
		globs[glob] = policy.FileRule{Path: r.pattern.base, Glob: glob, Access: access}
	}
	for name, here := range of {
		all := of.at(name)
		switch {
		case here.denied:
			c.out.Policy.Files = append(c.out.Policy.Files, policy.FileRule{Path: name})
		case !all.denied:
			c.out.Policy.Files = append(c.out.Policy.Files, policy.FileRule{Path: name, Access: all.given})
		}
	}
	c.out.Policy.Files = slices.AppendSeq(c.out.Policy.Files, maps.Values(globs))
	slices.SortFunc(c.out.Policy.Files, func(a, b policy.FileRule) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Glob, b.Glob))
	})
}

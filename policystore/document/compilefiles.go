package document

import (
	"cmp"
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

// files makes of rules of which deny beats allow such of which the longest path decides:
// at each path what all rules above it give together; nothing where a deny is; and nothing
// below a deny.
func (c *compiling) files() {
	rules := c.s.fs.rules
	index := indexFiles(rules)
	c.out.files = index
	of := map[string]policy.FileRule{}
	for _, r := range rules {
		if p := r.pattern; r.denies() {
			glob := strings.TrimSuffix(p.glob, allBelow)
			of[cmp.Or(glob, p.base)] = policy.FileRule{Path: p.base, Glob: glob}
		}
	}
	for _, r := range rules {
		p := r.pattern
		if _, denied := index.denied(p.base); denied || r.denies() {
			continue
		}
		subject := cmp.Or(p.glob, p.base)
		rule, there := of[subject]
		switch {
		case there && rule.Access == 0: // denied by the same glob
		case p.glob != "":
			of[subject] = policy.FileRule{Path: p.base, Glob: p.glob, Access: rule.Access | r.access}
		default:
			of[subject] = policy.FileRule{Path: p.base, Access: index.plain(p.base)}
		}
	}
	for _, rule := range of {
		c.out.Policy.Files = append(c.out.Policy.Files, rule)
	}
	slices.SortFunc(c.out.Policy.Files, func(a, b policy.FileRule) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Glob, b.Glob))
	})
}

// plain is what the rules without wildcards give at a path.
func (x fileIndex) plain(name string) (given policy.Access) {
	above(name, func(dir string) bool {
		for _, r := range x[dir] {
			if r.pattern.glob == "" {
				given |= r.access
			}
		}
		return true
	})
	return given
}

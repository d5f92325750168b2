package policy

import (
	"math"
	"strings"
)

// A glob is an absolute path in which "*" stands for any bytes of one name, "?" for one
// character of a name, and "**" in place of a whole name for any number of names, none
// included. So "/a/**" is /a and all below it, and "/a/**/*.csv" is /a/x.csv and /a/b/c/x.csv.
// There are no classes and no escapes: every other byte is itself.

// MaxStars is how many * and ** together a glob may have, so that a path which almost matches
// is soon found out not to. [Steps] bounds what that and long paths still cost.
const MaxStars = 8

// Stars is how many * and ** a glob has.
func Stars(glob string) int { return strings.Count(strings.ReplaceAll(glob, "**", "*"), "*") }

// Match reports whether the clean, absolute path is what a valid glob is about: all of it. It
// takes no more steps than the product of their lengths.
func Match(glob, path string) bool {
	unbounded := Steps(math.MaxInt)
	return unbounded.Match(glob, path)
}

// Covers reports whether the glob matches the path or a directory above it.
func Covers(glob, path string) bool {
	unbounded := Steps(math.MaxInt)
	return unbounded.Covers(glob, path)
}

// Steps are what matching may still cost, for who judges on behalf of others: some nanoseconds
// each. Once none are left, nothing matches.
type Steps int

// Match is the function of that name while steps are left.
func (s *Steps) Match(glob, path string) bool { return s.match(glob, path, false) }

// Covers is the function of that name while steps are left.
func (s *Steps) Covers(glob, path string) bool { return s.match(glob, path, true) }

// Spent reports that none are left: what did not match since might have.
func (s *Steps) Spent() bool { return *s <= 0 }

func (s *Steps) match(glob, path string, below bool) bool {
	for strings.HasSuffix(glob, "/**") {
		glob, below = strings.TrimSuffix(glob, "/**"), true
	}
	if path == "/" {
		path = ""
	}
	m := matching{glob: glob, path: path, star: -1, deep: -1}
	for ; *s > 0; *s-- {
		over := m.g == len(glob)
		if over && (m.p == len(path) || (below && path[m.p] == '/')) {
			return true
		}
		if (over || !m.step()) && !m.again() {
			return false
		}
	}
	return false
}

// matching keeps two places to try again from: behind the last "*", and behind the last "**".
// Those before need no other try, since the last can take whatever they could leave.
// cell/cpython/glob.c is the same, and testdata/globs.txt is about both.
type matching struct {
	glob, path   string
	g, p         int
	star, starAt int // in the glob, and what of the path it has taken; -1: none
	deep, deepAt int
}

// step takes one part of the glob, which has one, and says whether it fits.
func (m *matching) step() bool {
	switch c := m.glob[m.g]; {
	case strings.HasPrefix(m.glob[m.g:], "**/"):
		m.g += len("**/")
		m.star, m.deep, m.deepAt = -1, m.g, m.p
	case c == '*':
		m.g++
		m.star, m.starAt = m.g, m.p
	case m.p == len(m.path):
		return false
	case c == '?' && m.path[m.p] != '/':
		m.g, m.p = m.g+1, nextCharacter(m.path, m.p)
	case c == m.path[m.p]:
		m.g, m.p = m.g+1, m.p+1
	default:
		return false
	}
	return true
}

// again goes back to the last place where more can be taken, and says whether there is one.
func (m *matching) again() bool {
	if m.star >= 0 && m.starAt < len(m.path) && m.path[m.starAt] != '/' {
		m.starAt++
		m.g, m.p = m.star, m.starAt
		return true
	}
	next := strings.IndexByte(m.path[m.deepAt:], '/')
	if m.deep < 0 || next < 0 {
		return false
	}
	m.deepAt += next + 1
	m.g, m.p, m.star = m.deep, m.deepAt, -1
	return true
}

// nextCharacter is behind the character of UTF-8 at p; a byte that begins none is one.
func nextCharacter(path string, p int) int {
	for p++; p < len(path) && path[p]&0xc0 == 0x80; p++ {
	}
	return p
}

// GlobDir returns the longest directory that all a glob matches is in or, where it ends in
// "/**", may be.
func GlobDir(glob string) string {
	wild := strings.IndexAny(glob, "*?")
	if wild < 0 {
		return glob
	}
	if slash := strings.LastIndexByte(glob[:wild], '/'); slash > 0 {
		return glob[:slash]
	}
	return "/"
}

// validateGlob checks one whose path is checked.
func (r FileRule) validateGlob() error {
	switch {
	case r.Glob == "":
		return nil
	case !strings.ContainsAny(r.Glob, "*?"):
		return invalid("glob %q has no wildcard; make it the path", r.Glob)
	case !strings.HasPrefix(r.Glob, "/"):
		return invalid("glob %q is not absolute", r.Glob)
	case GlobDir(r.Glob) != r.Path:
		return invalid("glob %q is of %s, not of %q", r.Glob, GlobDir(r.Glob), r.Path)
	case Stars(r.Glob) > MaxStars:
		return invalid("glob %q has %d * and **; %d are allowed", r.Glob, Stars(r.Glob), MaxStars)
	}
	for name := range strings.SplitSeq(r.Glob[1:], "/") {
		if strings.Contains(name, "**") && name != "**" {
			return invalid("glob %q: ** stands for whole names only, as in /a/**/b", r.Glob)
		}
	}
	return nil
}

package document

import (
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// tree is compiled rules for files without globs, by path.
type tree map[string]policy.Access

// at is what the longest path that fits gives, and whether that takes all away.
func (t tree) at(name string) (given policy.Access, denied bool) {
	above(name, func(dir string) bool {
		a, there := t[dir]
		given, denied = a, there && a == 0
		return !there
	})
	return given, denied
}

func split(rules []policy.FileRule) (paths tree, globs map[string]policy.FileRule) {
	paths, globs = tree{}, map[string]policy.FileRule{}
	for _, r := range rules {
		if r.Glob == "" {
			paths[r.Path] = r.Access
		} else {
			globs[r.Glob] = r
		}
	}
	return paths, globs
}

// gain is something gained at a path or prefix, and the places below it where it is not.
type gain struct {
	text   string
	except []string
}

func (g gain) String() string {
	if len(g.except) == 0 {
		return g.text
	}
	return g.text + ", but not " + strings.Join(g.except, ", ")
}

func gainText(gains []*gain) (texts []string) {
	for _, g := range gains {
		texts = append(texts, g.String())
	}
	return texts
}

// gainedFiles is what `to` permits and `from` does not. Between two paths of any rule
// nothing changes, so that these paths say it all, but for globs.
func gainedFiles(from, to []policy.FileRule) []string {
	fromPaths, fromGlobs := split(from)
	toPaths, toGlobs := split(to)
	var gains []*gain
	by := map[string]map[policy.Access]*gain{} // of each path, by the bit that was gained
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(sortedKeys(fromPaths), sortedKeys(toPaths)...)))) {
		old, wasDenied := fromPaths.at(name)
		now, isDenied := toPaths.at(name)
		here := map[policy.Access]*gain{}
		by[name] = here
		if wasDenied && !isDenied && permitAround(toGlobs, name) {
			gains = append(gains, &gain{text: "what globs match in " + name})
		}
		for _, bit := range []policy.Access{policy.Read, policy.Write} {
			parent := nearest(by, name, bit)
			switch is := now&^old&bit != 0; {
			case is && parent == nil:
				here[bit] = &gain{text: verb(bit) + " " + name}
				gains = append(gains, here[bit])
			case is:
				here[bit] = parent
			case parent != nil:
				parent.except = append(parent.except, name)
				here[bit] = nil
			}
		}
	}
	return append(gainText(gains), gainedGlobs(fromGlobs, toGlobs, from, to)...)
}

// nearest is the gain of the longest path above, nil where it has none.
func nearest(by map[string]map[policy.Access]*gain, name string, bit policy.Access) (found *gain) {
	above(name, func(dir string) bool {
		gains, there := by[dir]
		if !there || dir == name {
			return true
		}
		found = gains[bit]
		return false
	})
	return found
}

// gainedGlobs are globs that permit more, or no longer take away.
func gainedGlobs(fromGlobs, toGlobs map[string]policy.FileRule, from, to []policy.FileRule) (gained []string) {
	for _, glob := range sortedKeys(toGlobs) {
		now := toGlobs[glob]
		if bits := now.Access &^ fromGlobs[glob].Access; bits != 0 && !givesAll(from, now.Path, bits) {
			gained = append(gained, verb(bits)+" "+glob)
		}
	}
	for _, glob := range sortedKeys(fromGlobs) {
		r := fromGlobs[glob]
		if still, there := toGlobs[glob]; r.Access == 0 && (!there || still.Access != 0) && givesSome(to, r.Path) {
			gained = append(gained, "what is permitted of "+glob)
		}
	}
	return gained
}

// permitAround tells whether a glob may permit something at a path, or below it.
func permitAround(globs map[string]policy.FileRule, name string) bool {
	for _, r := range globs {
		if r.Access != 0 && (under(r.Path, name) || under(name, r.Path)) {
			return true
		}
	}
	return false
}

// givesAll tells whether rules surely give an access to all in a directory.
func givesAll(rules []policy.FileRule, dir string, access policy.Access) bool {
	paths, _ := split(rules)
	if given, _ := paths.at(dir); given&access != access {
		return false
	}
	return !slices.ContainsFunc(rules, func(r policy.FileRule) bool {
		lacks := r.Access&access != access && (r.Glob == "" || r.Access == 0)
		return lacks && (under(r.Path, dir) || (r.Glob != "" && under(dir, r.Path)))
	})
}

// givesSome tells whether rules may permit anything in a directory.
func givesSome(rules []policy.FileRule, dir string) bool {
	return slices.ContainsFunc(rules, func(r policy.FileRule) bool {
		return r.Access != 0 && (under(r.Path, dir) || under(dir, r.Path))
	})
}

func verb(a policy.Access) string {
	switch a {
	case policy.Read:
		return "read"
	case policy.Write:
		return "write"
	}
	return "read and write"
}

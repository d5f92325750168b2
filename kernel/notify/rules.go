package notify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Rules are a policy's files, ready to judge by. They are never changed, and may be used
// for many targets.
type Rules struct {
	access map[string]policy.Access // by real path
	globs  []glob
	fixed  map[string]struct{} // what they were looked up by, and all above it
}

// glob is a rule for what matches, below the real path of its directory.
type glob struct {
	dir     string // "" is the root
	pattern string // of what follows dir
	access  policy.Access
}

// fits says whether the rule is about a real path: for one that denies, also what is below.
// What it tries is taken from left.
func (g glob) fits(path string, left *policy.Steps) bool {
	rest, in := strings.CutPrefix(path, g.dir)
	switch {
	case !in || (rest != "" && rest[0] != '/'):
		return false
	case g.access == 0:
		return left.Covers(g.pattern, rest)
	default:
		return left.Match(g.pattern, rest)
	}
}

// Compile looks the rules' paths up, so that a symbolic link in one counts as where it
// leads; where two come out at one path, only what both give is given. Of a path that is not there
// yet, what is there of it counts; see [policy.LookUp]. Rules for the node's own files in /proc are refused:
// /proc/self would be the node.
//
// Paths are looked up this once: what becomes of them later does not move the rules, and who
// compiles a policy again has it looked up again.
func Compile(files []policy.FileRule) (*Rules, error) {
	if err := (policy.Policy{Files: files}).Validate(); err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	r := &Rules{access: make(map[string]policy.Access, len(files)), fixed: map[string]struct{}{}}
	own := fmt.Sprintf("/proc/%d", os.Getpid())
	for _, f := range files {
		path, links, err := policy.LookUp(f.Path)
		if err != nil {
			return nil, fmt.Errorf("notify: look up the rule's path: %w", err)
		}
		for _, node := range []string{own, "/proc/self", "/proc/thread-self"} {
			if within(path, node) {
				return nil, fmt.Errorf("notify: the rule for %s is about the node's own %s; a cell has other numbers there", f.Path, path)
			}
		}
		r.add(f, path)
		r.fix(path)
		for _, link := range links {
			r.fix(link)
		}
	}
	return r, nil
}

// add adds a rule whose path leads to a real one.
func (r *Rules) add(f policy.FileRule, path string) {
	if f.Glob != "" {
		beyond := strings.TrimPrefix(f.Glob, strings.TrimSuffix(f.Path, "/"))
		r.globs = append(r.globs, glob{strings.TrimSuffix(path, "/"), beyond, f.Access})
		return
	}
	access := f.Access
	if other, twice := r.access[path]; twice {
		access &= other
	}
	r.access[path] = access
}

// fix keeps a path, and all that it is in, from being taken away.
func (r *Rules) fix(path string) {
	for ; path != "/"; path = parent(path) {
		r.fixed[path] = struct{}{}
	}
}

// fixes says whether rules were looked up by a real path or by something below it.
func (r *Rules) fixes(path string) bool {
	_, is := r.fixed[path]
	return is
}

// judge returns what may be done at a real path; see [policy.FileRule]. That is nothing where
// no steps are left to try all globs.
func (r *Rules) judge(path string, left *policy.Steps) policy.Access {
	if !strings.HasPrefix(path, "/") {
		return 0 // what has no path
	}
	given, found := r.longest(path)
	if found && given == 0 {
		return 0
	}
	for _, g := range r.globs {
		fits := g.fits(path, left)
		if left.Spent() || (fits && g.access == 0) {
			return 0
		}
		if fits {
			given |= g.access
		}
	}
	return given
}

// longest judges by the rules for paths alone.
func (r *Rules) longest(path string) (given policy.Access, found bool) {
	for at := path; ; at = parent(at) {
		if given, ok := r.access[at]; ok {
			return given, true
		}
		if at == "/" {
			return 0, false
		}
	}
}

// names says whether a rule is for just that path.
func (r *Rules) names(path string) bool {
	_, is := r.access[path]
	return is
}

// moves says whether what is below a real path would be judged by other patterns elsewhere.
func (r *Rules) moves(path string) bool {
	for _, g := range r.globs {
		if within(path, g.dir) || within(g.dir, path) {
			return true
		}
	}
	return false
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// within says whether path is dir or below it.
func within(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == '/' || dir == "/" || dir == "")
}

// clean says whether a path is absolute and has no dots, double slashes or slash at its end.
func clean(path string) bool { return strings.HasPrefix(path, "/") && filepath.Clean(path) == path }

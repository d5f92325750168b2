package policy

import (
	"fmt"
	"strings"
)

// FileRule gives access to a file, or to a directory and all below it; with a glob to what
// that matches.
//
// What may be done with a file is what the longest path that fits gives, and what all globs
// that match give beside it. Where a rule without access decides there is none: the longest
// path, or a glob that matches the file or a directory above it. Who judges for others may also
// refuse a path that takes too long to try; see [Steps].
type FileRule struct {
	// Path is absolute and clean. It is looked up when the policy is compiled, so that
	// a symbolic link in it counts as where it leads.
	Path string `json:"path"`
	// Access is what is permitted there. Without a glob that is all, and zero takes away what
	// a shorter path gives; with one it is added, and zero takes away what all others give.
	Access Access `json:"access"`
	// Glob is a pattern of [Match] and Path its GlobDir: where those who judge paths only
	// permit more. "": the rule is for Path itself.
	Glob string `json:"glob,omitempty"`
}

// subject is what two rules may not share.
func (r FileRule) subject() string {
	if r.Glob != "" {
		return r.Glob
	}
	return r.Path
}

func (r FileRule) validate() error {
	if err := validatePath("path", r.Path); err != nil {
		return err
	}
	if r.Access&^(Read|Write|Execute) != 0 {
		return invalid("path %q: access %#x is not known", r.Path, uint8(r.Access))
	}
	if r.Glob != "" {
		if err := validatePath("glob", r.Glob); err != nil {
			return err
		}
	}
	return r.validateGlob()
}

func validatePath(what, path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return invalid("%s %q is not absolute", what, path)
	case path != "/" && strings.HasSuffix(path, "/"):
		return invalid("%s %q ends in a slash", what, path)
	case strings.Contains(path, "//"), strings.Contains(path+"/", "/./"), strings.Contains(path+"/", "/../"):
		return invalid("%s %q is not clean", what, path)
	case strings.ContainsRune(path, 0):
		return invalid("%s %q has a zero byte", what, path)
	case len(path) > MaxPath:
		return invalid("%s %.20q… has %d bytes; %d are allowed", what, path, len(path), MaxPath)
	}
	return nil
}

// within says whether path is dir or below it.
func within(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == '/' || dir == "/")
}

// Judge returns what valid rules give at a clean, absolute path in which no link is left to
// be followed. It is what every layer that is exact does; they are faster.
func Judge(rules []FileRule, path string) Access {
	at := -1 // the longest path's length
	var own, globs Access
	for _, r := range rules {
		switch {
		case r.Glob == "":
			if len(r.Path) > at && within(path, r.Path) {
				at, own = len(r.Path), r.Access
			}
		case r.Access == 0:
			if Covers(r.Glob, path) {
				return 0
			}
		case Match(r.Glob, path):
			globs |= r.Access
		}
	}
	if at >= 0 && own == 0 {
		return 0
	}
	return own | globs
}

// Prefixes returns rules without globs, for layers that know none. They permit all that the
// rules permit, and what more, in words: none when the same.
func Prefixes(rules []FileRule) (prefixes []FileRule, more []string) {
	var globs []FileRule
	for _, r := range rules {
		if r.Glob == "" {
			prefixes = append(prefixes, r)
		} else {
			globs = append(globs, r)
		}
	}
	if len(globs) == 0 {
		return rules, nil
	}
	denied := map[string]bool{}
	for _, r := range prefixes {
		denied[r.Path] = r.Access == 0
	}
	for _, r := range globs {
		if r.Access == 0 {
			more = append(more, fmt.Sprintf("%s is not taken away", r.Glob))
			continue
		}
		more = append(more, fmt.Sprintf("%s of all below %s is given for %s", r.Access, r.Path, r.Glob))
		if _, there := denied[r.Path]; !there {
			above, covered := longest(prefixes, r.Path)
			prefixes = append(prefixes, FileRule{Path: r.Path, Access: above.Access})
			denied[r.Path] = covered && denied[above.Path]
		}
	}
	for i, p := range prefixes {
		for _, r := range globs {
			if within(p.Path, r.Path) && !denied[p.Path] {
				prefixes[i].Access |= r.Access
			}
		}
	}
	return prefixes, more
}

// longest returns the rule of the longest path that the path is, or is below.
func longest(prefixes []FileRule, path string) (rule FileRule, found bool) {
	for _, r := range prefixes {
		if len(r.Path) > len(rule.Path) && within(path, r.Path) {
			rule, found = r, true
		}
	}
	return rule, found
}

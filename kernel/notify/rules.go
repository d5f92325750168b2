package notify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Rules are a policy's files, ready to judge by. They are never changed, and may be used
// for many targets.
type Rules struct {
	access map[string]policy.Access // by real path
}

// Compile looks the rules' paths up, so that a symbolic link in one counts as where it
// leads; where two come out at one path, only what both give is given. A path that is not
// there yet is taken as it is written. Rules for the node's own files in /proc are refused:
// /proc/self would be the node.
func Compile(files []policy.FileRule) (*Rules, error) {
	if err := (policy.Policy{Files: files}).Validate(); err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	r := &Rules{access: make(map[string]policy.Access, len(files))}
	own := fmt.Sprintf("/proc/%d", os.Getpid())
	for _, f := range files {
		path, err := filepath.EvalSymlinks(f.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			path = f.Path
		case err != nil:
			return nil, fmt.Errorf("notify: look up the rule's path: %w", err)
		}
		for _, node := range []string{own, "/proc/self", "/proc/thread-self"} {
			if within(path, node) {
				return nil, fmt.Errorf("notify: the rule for %s is about the node's own %s; a cell has other numbers there", f.Path, path)
			}
		}
		access := f.Access
		if other, twice := r.access[path]; twice {
			access &= other
		}
		r.access[path] = access
	}
	return r, nil
}

// judge returns what may be done at a real path, and whether a rule is for just that path.
func (r *Rules) judge(path string) (given policy.Access, exact bool) {
	if !strings.HasPrefix(path, "/") {
		return 0, false // what has no path
	}
	for at := path; ; at = parent(at) {
		if given, ok := r.access[at]; ok {
			return given, at == path
		}
		if at == "/" {
			return 0, false
		}
	}
}

// below says whether a rule is about something below path.
func (r *Rules) below(path string) bool {
	for at := range r.access {
		if at != path && within(at, path) {
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
	return ok && (rest == "" || rest[0] == '/' || dir == "/")
}

// clean says whether a path is absolute and has no dots, double slashes or slash at its end.
func clean(path string) bool { return strings.HasPrefix(path, "/") && filepath.Clean(path) == path }

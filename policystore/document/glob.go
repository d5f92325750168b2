package document

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// pattern is what a file rule is about. A path without wildcards is itself and all below
// it. A glob, as [policy.Match] has it, is what it matches; denied is all below that, too.
type pattern struct {
	// text is as written, base the longest directory that all of it is in: of a path
	// without wildcards itself.
	text, base string
	// glob is the whole pattern; "" without wildcards.
	glob string
}

const allBelow = "/**"

// parsePattern reads an absolute, clean path with wildcards.
func parsePattern(text string) (pattern, error) {
	whole, below := text, ""
	for strings.HasSuffix(whole, allBelow) {
		whole, below = strings.TrimSuffix(whole, allBelow), allBelow
	}
	if whole == "" && below != "" {
		whole = "/"
	}
	if err := checkPath(whole); err != nil {
		return pattern{}, err
	}
	if !strings.ContainsAny(whole, "*?") {
		return pattern{text: text, base: whole}, nil
	}
	glob := whole + below
	for part := range strings.SplitSeq(glob, "/") {
		if part != "**" && strings.Contains(part, "**") {
			return pattern{}, errors.New("** stands for whole names; write it between slashes, as /srv/**/x")
		}
	}
	if n := policy.Stars(glob); n > policy.MaxStars {
		return pattern{}, fmt.Errorf("the pattern has %d * and **; %d are possible, so write a rule for each of its directories", n, policy.MaxStars)
	}
	return pattern{text: text, base: policy.GlobDir(glob), glob: glob}, nil
}

func checkPath(whole string) error {
	switch {
	case !strings.HasPrefix(whole, "/"):
		return errors.New("the path is not absolute; begin it with /")
	case strings.ContainsAny(whole, "[]{}\\"):
		return errors.New(`only *, ? and ** are wildcards; [ ] { } and \ are not allowed in paths`)
	case strings.IndexFunc(whole, control) >= 0:
		return errors.New("the path has a control character")
	case whole != path.Clean(whole):
		return fmt.Errorf("the path is not clean; write %s", path.Clean(whole))
	case len(whole)+len(allBelow) > policy.MaxPath:
		return fmt.Errorf("the path has %d bytes; %d are possible", len(whole), policy.MaxPath-len(allBelow))
	}
	return nil
}

// meaning is a text that is the same for patterns that are about the same.
func (p pattern) meaning() string {
	if p.glob != "" {
		return p.glob
	}
	return p.base
}

// under tells whether name is base, or below it.
func under(name, base string) bool {
	return base == "/" || (strings.HasPrefix(name, base) && (len(name) == len(base) || name[len(base)] == '/'))
}

// above calls each for a clean absolute path and all directories above it, the longest
// first, until it says no.
func above(name string, each func(dir string) bool) {
	for each(name) && name != "/" {
		name = name[:max(strings.LastIndexByte(name, '/'), 1)]
	}
}

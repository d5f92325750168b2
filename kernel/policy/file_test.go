package policy

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	rules := []FileRule{
		{Path: "/a", Access: Read}, {Path: "/a/closed"}, {Path: "/a/w", Access: Write},
		{Path: "/a", Glob: "/a/**/*.log", Access: Write}, {Path: "/b", Glob: "/b/*.csv", Access: Read},
		{Path: "/a", Glob: "/a/*/private"},
	}
	for path, want := range map[string]Access{
		"/a": Read, "/a/x": Read, "/ab": 0, "/a/closed": 0, "/a/closed/x.log": 0, "/a/x.log": Read | Write, "/a/w/x": Write, "/a/w/x.log": Write,
		"/b": 0, "/b/x.csv": Read, "/b/c/x.csv": 0, "/a/x/private": 0, "/a/x/private/y.log": 0, "/a/private": Read,
	} {
		if got := Judge(rules, path); got != want {
			t.Errorf("%s: %s; want %s", path, got, want)
		}
	}
}

// randomRules are about few names, so that they meet.
func randomRules(r *rand.Rand) (rules []FileRule) {
	names := []string{"a", "b", "ab", "*", "?", "**", "a*"}
	seen := map[string]bool{}
	for range 1 + r.IntN(8) {
		var path strings.Builder
		for range 1 + r.IntN(4) {
			path.WriteString("/" + names[r.IntN(len(names))])
		}
		rule := FileRule{Path: path.String(), Access: Access(r.IntN(4))}
		if dir := GlobDir(rule.Path); dir != rule.Path {
			rule.Path, rule.Glob = dir, rule.Path
		}
		if !seen[rule.subject()] {
			seen[rule.subject()] = true
			rules = append(rules, rule)
		}
	}
	return rules
}

// Layers without globs permit no less, and say so when it may be more.
func TestPrefixesPermitNoLess(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	more := 0
	for range 20_000 {
		rules := randomRules(r)
		prefixes, words := Prefixes(rules)
		if err := (Policy{Files: prefixes}).Validate(); err != nil {
			t.Fatalf("%+v: %v", rules, err)
		}
		var path strings.Builder
		for range 1 + r.IntN(5) {
			path.WriteString("/" + []string{"a", "b", "ab"}[r.IntN(3)])
		}
		exact, loose := Judge(rules, path.String()), Judge(prefixes, path.String())
		if exact&^loose != 0 || (exact != loose && len(words) == 0) {
			t.Fatalf("%+v of %s: %s and %s, %q", rules, path.String(), exact, loose, words)
		}
		if exact != loose {
			more++
		}
	}
	if more == 0 {
		t.Error("nothing was approximated")
	}
}

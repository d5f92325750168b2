package policy

import (
	_ "embed"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

//go:embed testdata/globs.txt
var globVectors string

func TestMatch(t *testing.T) {
	for line := range strings.Lines(globVectors) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] == "#" {
			continue
		}
		got := "no"
		switch {
		case Match(f[0], f[1]):
			got = "match"
		case Covers(f[0], f[1]):
			got = "below"
		}
		if got != f[2] {
			t.Errorf("%s of %s: %s; want %s", f[0], f[1], got, f[2])
		}
	}
}

func TestGlobDir(t *testing.T) {
	for glob, want := range map[string]string{"/a/b/*": "/a/b", "/a/b*": "/a", "/a/b": "/a/b", "/*": "/", "/a?": "/", "/a/**/b": "/a", "/**": "/"} {
		if got := GlobDir(glob); got != want {
			t.Errorf("%s: %s; want %s", glob, got, want)
		}
	}
}

func TestValidateGlob(t *testing.T) {
	for glob, want := range map[string]string{"/a/*": "", "/a/**/*.c?v": "", "/a/b": "no wildcard", "a/*": "not absolute", "/a/b**": "whole names",
		"/a" + strings.Repeat("/*", MaxStars): "", "/a/**" + strings.Repeat("/*x*", MaxStars/2): "9 * and **; 8 are allowed",
		"/b/*": "is of /b", "/a//*": "not clean", "/a/*/": "ends in a slash", "/a/***": "whole names", "/a/*" + strings.Repeat("a", MaxPath): "254 are allowed"} {
		err := FileRule{Path: "/a", Glob: glob}.validate()
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20s: %v; want %q", glob, err, want)
		}
	}
	two := Policy{Files: []FileRule{{Path: "/a", Access: Read}, {Path: "/a", Glob: "/a/*", Access: Read}, {Path: "/a", Glob: "/a/*"}}}
	if err := two.Validate(); err == nil || !strings.Contains(err.Error(), `two rules for "/a/*"`) {
		t.Errorf("one glob twice: %v", err)
	}
}

// asRegexp says the same as a glob, in another language.
func asRegexp(glob string) *regexp.Regexp {
	var b strings.Builder
	for name := range strings.SplitSeq(glob[1:], "/") {
		if name == "**" {
			b.WriteString("(/[^/]*)*")
			continue
		}
		b.WriteString("/" + strings.NewReplacer(`\*`, "[^/]*", `\?`, "[^/]").Replace(regexp.QuoteMeta(name)))
	}
	return regexp.MustCompile("^(?s:" + b.String() + ")$")
}

func FuzzMatch(f *testing.F) {
	for line := range strings.Lines(globVectors) {
		if v := strings.Fields(line); len(v) == 3 {
			f.Add(v[0], v[1])
		}
	}
	f.Add("/"+strings.Repeat("**/a*/", MaxStars/2)+"b", strings.Repeat("/aa", 200))
	f.Add("/a/"+strings.Repeat("*a", MaxStars), "/a/"+strings.Repeat("a", 4000))
	f.Fuzz(func(t *testing.T, glob, path string) {
		rule := FileRule{Path: GlobDir(glob), Glob: glob}
		if rule.validate() != nil || !strings.HasPrefix(path, "/") || len(path) > 1 && strings.HasSuffix(path, "/") || strings.Contains(path, "//") {
			return
		}
		of := path
		if path == "/" {
			of = ""
		}
		got := Match(glob, path)
		// In what is not UTF-8 the two count characters differently.
		if utf8.ValidString(glob) && utf8.ValidString(path) && got != asRegexp(glob).MatchString(of) {
			t.Errorf("%q of %q: %t", glob, path, got)
		}
		if got && !Covers(glob, path) || got && !within(path, GlobDir(glob)) {
			t.Errorf("%q of %q: it matches, and does not cover it or is elsewhere", glob, path)
		}
		covers := false
		for at := path; ; at = at[:strings.LastIndexByte(at, '/')] {
			covers = covers || Match(glob, at)
			if strings.Count(at, "/") < 2 {
				break
			}
		}
		if Covers(glob, path) != covers {
			t.Errorf("%q of %q: it covers it: %t", glob, path, !covers)
		}
	})
}

// What has been tried costs, and once nothing is left nothing matches.
func TestSteps(t *testing.T) {
	steps := Steps(1000)
	if !steps.Match("/a/*.csv", "/a/x.csv") || steps == 1000 || steps.Spent() {
		t.Errorf("%d steps are left of 1000", steps)
	}
	if steps.Covers("/**/a/a/a/b", strings.Repeat("/a", 1000)) || !steps.Spent() {
		t.Errorf("%d steps are left", steps)
	}
	if steps.Match("/*", "/a") || steps.Covers("/*", "/a") {
		t.Error("something matches without a step")
	}
}

func BenchmarkMatch(b *testing.B) {
	for name, c := range map[string][2]string{
		"usual": {"/srv/data/**/*.csv", "/srv/data/2026/11/26/measurements.csv"},
		"worst": {"/**/" + strings.Repeat("a/", 120) + "b", strings.Repeat("/a", 2000)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Match(c[0], c[1])
			}
		})
	}
}

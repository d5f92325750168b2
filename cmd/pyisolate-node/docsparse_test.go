package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// parseBlocks returns the fenced blocks of a page. A fence is three backquotes at
// the line's beginning; anything else that looks like one is an error, because a
// block that is not seen is not run.
func parseBlocks(name, text string) ([]block, error) {
	var blocks []block
	var open *block
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case !isFence && open == nil && strings.HasPrefix(strings.TrimSpace(line), "```"), strings.HasPrefix(line, "~~~"):
			return nil, fmt.Errorf("%s:%d: a fence must be ``` at the beginning of its line", name, i+1)
		case !isFence && open != nil:
			open.lines = append(open.lines, line)
		case isFence && open == nil:
			open = &block{page: name, language: fence, line: i + 1}
		case isFence && fence == "":
			if len(open.lines) == 0 {
				return nil, fmt.Errorf("%s:%d: the block is empty", name, open.line)
			}
			blocks = append(blocks, *open)
			open = nil
		case isFence:
			return nil, fmt.Errorf("%s:%d: a block begins inside the one of line %d", name, i+1, open.line)
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the block has no end", name, open.line)
	}
	return blocks, nil
}

func TestParseBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // language: code
		err  string
	}{
		"none":      {"a `b` c", nil, ""},
		"two":       {"x\n```sh\na\nb\n```\ny\n```\nc\n```\n", []string{"sh: a\nb\n", ": c\n"}, ""},
		"indented":  {"- x\n  ```sh\n  a\n  ```\n", nil, "beginning of its line"},
		"tildes":    {"~~~\na\n~~~\n", nil, "beginning of its line"},
		"no end":    {"```sh\na\n", nil, "page:1: the block has no end"},
		"empty":     {"```sh\n```\n", nil, "empty"},
		"two heads": {"```sh\na\n```go\nb\n```\n", nil, "inside the one of line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			blocks, err := parseBlocks("page", c.text)
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			var got []string
			for _, b := range blocks {
				got = append(got, b.language+": "+b.text())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	// What GitHub leaves out of a heading to make its anchor.
	notAnchor = regexp.MustCompile("[^a-z0-9 _-]")
)

// Links between pages lead to a file that is there and to a heading it has.
func TestDocumentationLinks(t *testing.T) {
	checked := 0
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(readFile(t, filepath.Join(repository, name)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			checked++
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(name), file)
			if file == "" {
				target = name
			}
			if found, _ := filepath.Glob(filepath.Join(repository, target)); len(found) != 1 {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
				continue
			}
			if anchor != "" && !hasAnchor(readFile(t, filepath.Join(repository, target)), anchor) {
				t.Errorf("%s: the link %s leads to no heading", name, m[1])
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links found", checked)
	}
}

func hasAnchor(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		if strings.ReplaceAll(notAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

func TestDocumentationIndex(t *testing.T) {
	index := readFile(t, filepath.Join(repository, "docs/README.md"))
	for _, name := range documents(t) {
		page, isDoc := strings.CutPrefix(name, "docs/")
		if isDoc && page != "README.md" && !strings.Contains(index, "]("+page+")") {
			t.Errorf("docs/README.md does not list %s", page)
		}
	}
}

// docs/cli.md knows each command and each flag that --help shows.
func TestCommandLinePageIsComplete(t *testing.T) {
	text := readFile(t, filepath.Join(repository, "docs/cli.md"))
	root := newRoot()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		if !strings.Contains(text, "pyisolate-node "+c.Name()+" ") {
			t.Errorf("docs/cli.md does not show %s", c.Name())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(text, "--"+f.Name) {
				t.Errorf("docs/cli.md does not mention --%s of %s", f.Name, c.Name())
			}
		})
	}
}

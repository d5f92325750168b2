package contract

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// page is docs/contracts.md.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/contracts.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the documentation is not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var blocks = regexp.MustCompile("(?s)\n```text\n(.*?\n)```\n")

const grammarBegins = "contract    ="

// TestDocumentation: each example of the page is a contract that loads, but for lines that
// say "# error:", which have that error.
func TestDocumentation(t *testing.T) {
	contracts, faults := 0, 0
	for _, m := range blocks.FindAllStringSubmatch(page(t), -1) {
		if strings.HasPrefix(m[1], grammarBegins) {
			continue
		}
		var source strings.Builder
		for line := range strings.Lines(m[1]) {
			code, want, isFault := strings.Cut(strings.TrimSuffix(line, "\n"), "# error: ")
			if !isFault {
				source.WriteString(line)
				continue
			}
			faults++
			if _, err := Parse(strings.TrimRight(code, " ")); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", code, err, want)
			}
		}
		c := parse(t, source.String())
		contracts += c.Len()
		b := newBench(t, 1)
		for h := Open; h <= Fork; h++ {
			load(t, c, h, b.target)
		}
	}
	if contracts < 10 || faults < 5 {
		t.Errorf("only %d assertions and %d faults were found", contracts, faults)
	}
}

// TestGrammar: the page's grammar has the parser's words and signs, and no others.
func TestGrammar(t *testing.T) {
	var grammar string
	for _, m := range blocks.FindAllStringSubmatch(page(t), -1) {
		if strings.HasPrefix(m[1], grammarBegins) {
			grammar = m[1]
		}
	}
	var got []string
	for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(grammar, -1) {
		got = append(got, m[1])
	}
	want := slices.Concat(signs, keywords, []string{";"})
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Error(diff)
	}
}

// TestFields: the page's tables have every field with its type and hooks, and every unit
// and name.
func TestFields(t *testing.T) {
	text := page(t)
	for _, f := range fields {
		at := map[hooks]string{hooksOf(Open): "open", hooksOf(Connect): "connect, send to a peer", hooksOf(Send): "send", hooksOf(Fork): "fork", allHooks: "all"}[f.moves|hooksOf(f.hook)&allHooks]
		row := regexp.MustCompile(`(?m)^\| ` + "`" + regexp.QuoteMeta(f.name) + "`" + ` \| ` + f.kind.String() + ` \| [^|]*\| ` + at + ` \|$`)
		if !row.MatchString(text) {
			t.Errorf("%s is not in the table, as a %s that is judged at %s", f.name, f.kind, at)
		}
	}
	for k := kindCount; k <= kindFlag; k++ {
		_, row, found := strings.Cut(text, "\n| "+k.String()+" | ")
		row, _, _ = strings.Cut(row, "\n")
		if !found {
			t.Errorf("%s is not in the table of types", k)
		}
		for _, u := range units[k] {
			if !regexp.MustCompile("`[0-9]+" + u.name + "`").MatchString(row) {
				t.Errorf("%s has no unit %s", k, u.name)
			}
		}
		for name := range enumerations[k] {
			if !strings.Contains(row, "`"+name+"`") {
				t.Errorf("%s has no %s", k, name)
			}
		}
	}
}

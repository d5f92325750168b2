package document

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tables of docs/policy.md between these comments are made from the keys.
var tableRE = regexp.MustCompile(`(?s)(<!-- (keys|restart|checkpoint) -->\n).*?(<!-- end -->)`)

func updating() bool { return flag.Lookup("update").Value.String() == "true" }

func TestReference(t *testing.T) {
	const file = "../../docs/policy.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{"keys": referenceTable(keys, true), "restart": referenceTable(restartKeys, false), "checkpoint": referenceTable(checkpointKeys, false)}
	want := tableRE.ReplaceAllStringFunc(string(text), func(part string) string {
		m := tableRE.FindStringSubmatch(part)
		return m[1] + tables[m[2]] + m[3]
	})
	if strings.Count(want, "<!-- end -->") != len(tables) {
		t.Errorf("%s has not all tables", file)
	}
	if updating() {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), want); diff != "" {
		t.Errorf("the tables of %s are not those of the keys; run make generate:\n%s", file, diff)
	}
}

func referenceTable(keys []*key, layers bool) string {
	var b strings.Builder
	b.WriteString("| key | what it is | type | range | default |")
	if layers {
		b.WriteString(" enforced by |")
	}
	b.WriteString("\n|" + strings.Repeat("---|", strings.Count(b.String(), "|")-1) + "\n")
	for _, k := range keys {
		kind, between := k.describe()
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |", k.name, k.doc, kind, between, k.fallback)
		if layers {
			fmt.Fprintf(&b, " %s |", k.layer)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// describe is a key's type and range in words.
func (k *key) describe() (kind, between string) {
	to := func(show func(int64) string) string { return show(k.least) + " to " + show(k.most) }
	if k.of == nil { // of restart or checkpoint
		switch {
		case k.choices != nil:
			return "word", strings.Join(k.choices, ", ")
		case k.most > 1_000_000_000:
			return "duration", to(shownDuration)
		}
		return "number", to(plainNumber)
	}
	switch k.of(&sandbox{}).(type) {
	case *imports:
		return "names", fmt.Sprintf("%d names", k.most)
	case *fileRules, *netRules:
		return "rules", "see below"
	case *word:
		return "word", strings.Join(k.choices, ", ")
	case *size:
		return "size", to(FormatSize)
	case *rate:
		return "size per second", "from " + formatRate(k.least)
	case *budget:
		return "duration/duration", "window from " + FormatDuration(minWindow)
	case *duration:
		return "duration", to(shownDuration)
	case *count:
		return "number", to(plainNumber)
	case *placement:
		return "`auto` or number", to(plainNumber)
	case *grants:
		return "map of grants", "one per name"
	case *contracts:
		return "texts", "128 assertions, 16KiB"
	case *restart, *checkpoint:
		return "map", "see below"
	}
	return "unknown", ""
}

// The modules that no guest may name are those of the gate below Python.
func TestUnnameableModules(t *testing.T) {
	text, err := os.ReadFile("../../cell/cpython/gate.c")
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`"([^"]+)"`)
	gate := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?s)static const char \*const (\w+)\[\] = \{(.*?)NULL\}`).FindAllStringSubmatch(string(text), -1) {
		for _, w := range words.FindAllStringSubmatch(m[2], -1) {
			gate[m[1]] = append(gate[m[1]], w[1])
		}
	}
	for _, c := range []struct{ ours, theirs []string }{
		{unnameable, slices.Concat(gate["never"], gate["internal"])}, {alwaysImported, gate["always"]},
	} {
		if diff := cmp.Diff(slices.Sorted(slices.Values(c.theirs)), slices.Sorted(slices.Values(c.ours))); diff != "" {
			t.Error(diff)
		}
	}
}

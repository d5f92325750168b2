package document_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// What the YAML library would be busy with for minutes is refused before it sees it.
func TestRefusedUnparsed(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"a list of a million bytes": {strings.Repeat("-\n", 1<<19), "entries in one list"},
		"words":                     {strings.Repeat("a: [a]\n", 1000) + strings.Repeat("- [a,a,a,a,a,a,a,a,a,a,a]\n", 9000), "words and signs"},
		"a list":                    {strings.Repeat("- a\n", document.MaxRules+1), "10000 entries in one list"},
		"a list at its key":         {"a:\n" + strings.Repeat("- a\n", document.MaxRules+1), "10000 entries in one list"},
		"a list in brackets":        {"a: [" + strings.Repeat("a,", document.MaxRules+1) + "a]\n", "10000 entries in one list"},
		"a map":                     {strings.Repeat("a:\n", document.MaxKeys+1), "1024 keys in one map"},
		"comments":                  {strings.Repeat("#\n", 1<<19), "words and signs"},
	} {
		start := time.Now()
		_, err := document.Parse("x", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %.200v", name, err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// A comma that was forgotten makes no path of what is denied.
func TestKeyInText(t *testing.T) {
	for _, rule := range []string{"{read: /a deny: /b}", "{read: /a: /b}", "{read: [/a, deny: /b: /c]}", "{read: /a:}"} {
		if _, err := document.Parse("x", []byte("version: 1.0\nsandboxes: {a: {fs: ["+rule+"]}}\n")); err == nil {
			t.Errorf("%s is taken", rule)
		}
	}
	if _, err := document.Parse("x", []byte("version: 1.0\nsandboxes: {a: {fs: [{read: \"/a: b\"}, {read: /a:b}]}}\n")); err != nil {
		t.Error(err)
	}
}

// Several lists of the same map are counted apart.
func TestListsApart(t *testing.T) {
	list := strings.Repeat("    - a\n", document.MaxRules/2+1)
	_, err := document.Parse("x", []byte("version: 1.0\nsandboxes:\n  a:\n    imports:\n"+list+"    fs:\n"+list))
	if err == nil || strings.Contains(err.Error(), "in one list") {
		t.Errorf("%.200v", err)
	}
}

// A size is what is written, to the byte.
func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"1.001kB": 1001, "1.5GiB": 3 << 29, "010B": 10, "9007199254740993B": 1<<53 + 1, "4194304TiB": 1 << 62,
		"4611686018427387905B": 0, "1.00000000000000000001KiB": 0, "0.5B": 0, "1.2.3kB": 0, ".5kB": 0, "5.kB": 0, strings.Repeat("1", 1<<20) + "B": 0,
	} {
		if got, err := document.ParseSize(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%.40s: %d, %.100v; want %d", text, got, err, want)
		}
	}
}

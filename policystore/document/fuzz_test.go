package document_test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore/document"
)

func addFiles(f *testing.F, patterns ...string) {
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
}

// Whatever the text: an answer in time, problems with a place in the text, and a canonical
// form that means the same.
func FuzzParse(f *testing.F) {
	addFiles(f, "testdata/*.yml", "testdata/broken/*.yml", "../../policies/*.yml")
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := document.Parse("fuzz.yml", text)
		if err != nil {
			checkProblems(t, text, err)
			return
		}
		again, err := document.Parse("fuzz.yml", d.Canonical())
		if err != nil {
			t.Fatalf("the canonical form is refused: %v\n%s", err, d.Canonical())
		}
		if !bytes.Equal(d.Canonical(), again.Canonical()) {
			t.Fatalf("the canonical form has another:\n%s\n%s", d.Canonical(), again.Canonical())
		}
		for _, name := range d.Sandboxes() {
			c, err := d.Compile(name, document.Options{})
			if err != nil {
				checkProblems(t, text, err)
				continue
			}
			if err := c.Policy.Validate(); err != nil {
				t.Fatal(err)
			}
			if other, err := again.Compile(name, document.Options{}); err != nil || other.Hash != c.Hash {
				t.Fatalf("the canonical form of %s compiles otherwise: %v\n%s", name, err, d.Canonical())
			}
		}
	})
}

func checkProblems(t *testing.T, text []byte, err error) {
	t.Helper()
	var problems document.Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("%v is no problem of the document", err)
	}
	lines := bytes.Count(text, []byte("\n")) + 1
	for _, p := range problems {
		if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" || !utf8.ValidString(p.Text()) {
			t.Fatalf("%+v, of %d lines", p, lines)
		}
		if strings.ContainsFunc(p.Text(), func(c rune) bool { return c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)) }) {
			t.Fatalf("a control character in %q", p.Text())
		}
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("/a/**/*.csv", "/a/b", "/a/b/x.csv", uint8(1))
	f.Add("/*", "/a", "/", uint8(3))
	f.Fuzz(func(t *testing.T, glob, deny, name string, access uint8) {
		text := sandboxOf("imports: [os], fs: [{allow: " + quote(glob) + "}, {deny: " + quote(deny) + "}]")
		d, err := document.Parse("p.yml", []byte(text))
		if err != nil {
			return
		}
		c, err := d.Compile("", document.Options{})
		if err != nil {
			t.Fatal(err)
		}
		q := document.Query{Path: name, Access: policy.Access(access)}
		if v := c.Explain(q); v.Allowed && !judge(c.Policy, q) {
			t.Errorf("%s: %+v: %+v, judged otherwise by %+v", text, q, v, c.Policy)
		}
		c.Explain(document.Query{Import: name})
		c.Explain(document.Query{Host: name, Port: uint16(access)})
		if a, err := netip.ParseAddrPort(name); err == nil && c.Explain(document.Query{Address: a}).Allowed {
			t.Errorf("%s is allowed", a)
		}
	})
}

// quote is text in YAML's single quotes.
func quote(text string) string {
	return "'" + string(bytes.ReplaceAll([]byte(text), []byte("'"), []byte("''"))) + "'"
}

func FuzzUnits(f *testing.F) {
	for _, text := range []string{"64MiB", "1.5GiB", "10MiB/s", "500ms/1s", "1m30s", "1e3B", "9007199254740993B"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := document.ParseSize(text); err == nil {
			if again, err := document.ParseSize(document.FormatSize(n)); n < 1 || err != nil || again != n {
				t.Errorf("%q is %d, printed as %s and read as %d: %v", text, n, document.FormatSize(n), again, err)
			}
		}
		if n, err := document.ParseRate(text); err == nil && n < 1 {
			t.Errorf("%q is %d", text, n)
		}
		if d, err := document.ParseDuration(text); err == nil {
			if again, err := document.ParseDuration(document.FormatDuration(d)); d < 1 || err != nil || again != d {
				t.Errorf("%q is %d, printed as %s and read as %d: %v", text, d, document.FormatDuration(d), again, err)
			}
		}
		if cpu, window, err := document.ParseBudget(text); err == nil && (cpu < 1 || window < 10*time.Millisecond) {
			t.Errorf("%q is %s in %s", text, cpu, window)
		}
	})
}

package document_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// Values of capabilities are of any shape, and come back as they were.
func TestCanonicalValues(t *testing.T) {
	text := `version: 1.0
sandboxes:
  a:
    capabilities:
      subprocess.run:
        programs: [{path: /bin/wc, args: [-c, "re:[0-9]+", ...]}]
        env: {}
        tmp: 16MiB
        cpu: 1s
        read_only: []
        files: 64
        rate: 1.5
        ok: true
        nothing: null
        "on": "\u202e\ud83d\ude00é\t\n\"\\"
      kv:
      send: [a, b]
      clock: {}
      random: null
      http.fetch: 'it''s'
`
	d := parse(t, text)
	want := `version: 1.0
sandboxes:
  a:
    capabilities:
      clock: {}
      http.fetch: "it's"
      kv: null
      random: null
      send:
        - "a"
        - "b"
      subprocess.run:
        cpu: "1s"
        env: {}
        files: 64
        nothing: null
        ok: true
        "on": "\u202e😀é\t\n\"\\"
        programs:
          - {args: ["-c", "re:[0-9]+", "..."], path: "/bin/wc"}
        rate: 1.5
        read_only: []
        tmp: "16MiB"
`
	if diff := cmp.Diff(want, string(d.Canonical())); diff != "" {
		t.Error(diff)
	}
	if again := parse(t, string(d.Canonical())); again.Hash() != d.Hash() {
		t.Error(cmp.Diff(string(d.Canonical()), string(again.Canonical())))
	}
	c, err := d.Compile("", document.Options{})
	if err != nil || strings.ReplaceAll(string(c.Grants[5].Scope), "\u202e", "!") != `{"cpu":"1s","env":{},"files":64,"nothing":null,"ok":true,"on":"!😀é\t\n\"\\","programs":[{"args":["-c","re:[0-9]+","..."],"path":"/bin/wc"}],"rate":1.5,"read_only":[],"tmp":"16MiB"}` {
		t.Errorf("%v %s", err, c.Grants[5].Scope)
	}
}

// Errors inside contracts have their place in the document, whatever is around them.
func TestPlacesInContracts(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		line  int
		col   int
	}{
		"plain":                   {`[connects <= x]`, 4, 29},
		"in double quotes":        {`["connects <= x"]`, 4, 30},
		"in single quotes":        {`['connects <= x']`, 4, 30},
		"behind other characters": {`["opens <= 1 # é", "connects <= x"]`, 4, 48},
		"with escapes":            {`["connects\u0020<= x"]`, 4, 17},
		"a block":                 {"\n      - |\n        opens <= 1\n\n        connects <= x\n", 8, 21},
		"a block of less":         {"|-\n      opens <= 1; connects <= x\n", 5, 31},
		"over lines in quotes":    {"[\"opens <= 1\n\n      connects <= x\"]", 4, 17},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := document.Parse("p.yml", []byte("version: 1.0\nsandboxes:\n  a:\n    contracts: "+c.value+"\n"))
			var problems document.Problems
			if !errors.As(err, &problems) || problems[0].Line != c.line || problems[0].Column != c.col {
				t.Errorf("%v; want line %d, column %d", err, c.line, c.col)
			}
			var one *document.Problem
			if !errors.As(err, &one) {
				t.Error("the problems are not part of the error")
			}
		})
	}
}

// The mark is below the place, also in long lines and behind wide characters.
func TestExcerpt(t *testing.T) {
	long := sandboxOf("imports: [" + strings.Repeat("json, ", 200) + "yes]")
	for name, text := range map[string]string{
		"long":    long,
		"accents": sandboxOf(`contracts: ["opens <= 1 # éééé"], imports: [yes]`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := document.Parse("p.yml", []byte(text))
			var problems document.Problems
			if !errors.As(err, &problems) {
				t.Fatal(err)
			}
			lines := strings.Split(problems.Text(), "\n")
			mark := strings.IndexRune(lines[2], '^')
			if at := string([]rune(lines[1])[mark:]); !strings.HasPrefix(at, "yes") || len(lines[1]) > 160 {
				t.Errorf("%s", problems.Text())
			}
		})
	}
}

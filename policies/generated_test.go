package policies_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/policies"
	"github.com/pyisolate/pyisolate/policystore/document"
)

var update = flag.Bool("update", false, "write what is generated")

// The schema and the page of templates are what they are made from.
func TestGenerated(t *testing.T) {
	for file, text := range map[string]string{
		"policy.schema.json":          string(document.Schema()),
		"../docs/policy-templates.md": page(t),
	} {
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		now, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(now), text); diff != "" {
			t.Errorf("%s is not what it is made from; run make generate:\n%s", file, diff)
		}
	}
}

const introduction = `# Policy templates

Take a template, change its paths and addresses to your own, and check the result. [policy.md](policy.md)
describes every key.

` + "```console" + `
$ pyisolate-node policy check policies/web_scraper.yml
policies/web_scraper.yml: ok, 1 sandbox
$ pyisolate-node policy explain policies/web_scraper.yml --connect 169.254.169.254:80
denied: connect to 169.254.169.254:80
  policies/web_scraper.yml:17: deny: 169.254.0.0/16
  a deny beats every connect; enforced by the kernel
$ echo $?
11
` + "```" + `

A table below each template shows what it permits and refuses, and by which rule. ` + "`make generate`" + ` writes
this page from [policies/](../policies) and its cases, and a test checks each row.
`

func page(t *testing.T) string {
	var b strings.Builder
	b.WriteString(introduction)
	for _, name := range policies.Names() {
		text, err := policies.Template(name)
		if err != nil {
			t.Fatal(err)
		}
		about, body := splitComment(string(text))
		fmt.Fprintf(&b, "\n## %s\n\n%s\n```text\n%s```\n", name, about, body)
		writeTable(&b, readDeeds(t, name, template(t, name)))
	}
	return b.String()
}

// splitComment takes the comment at the top of a template off it.
func splitComment(text string) (about, body string) {
	lines := strings.SplitAfter(text, "\n")
	for len(lines) > 0 && strings.HasPrefix(lines[0], "#") {
		about += strings.TrimPrefix(strings.TrimPrefix(lines[0], "#"), " ")
		lines = lines[1:]
	}
	return about, strings.Join(lines, "")
}

func writeTable(b *strings.Builder, deeds []deed) {
	sandbox := ""
	for _, d := range deeds {
		if d.sandbox != sandbox {
			sandbox = d.sandbox
			fmt.Fprintf(b, "\n| `%s` | | by |\n|---|---|---|\n", sandbox)
		}
		verdict, by := "denied", "no rule"
		if d.verdict.Allowed {
			verdict = "allowed"
		}
		switch {
		case d.verdict.Rule != "":
			by = "`" + d.verdict.Rule + "`"
		case strings.Contains(d.verdict.Why, "whatever is granted"):
			by = "no guest may name it"
		}
		fmt.Fprintf(b, "| %s `%s` | %s | %s |\n", d.verb, d.on, verdict, by)
	}
}

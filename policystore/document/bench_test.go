package document_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// thousandRules is a document of 1,000 rules: paths, globs, networks and denials, half of
// them inherited.
func thousandRules() string {
	var b strings.Builder
	b.WriteString("version: 1.0\nsandboxes:\n")
	for _, name := range []string{"base", "child"} {
		fmt.Fprintf(&b, "  %s:\n    imports: [math, json]\n    fs:\n", name)
		for i := range 100 {
			fmt.Fprintf(&b, "      - read: /srv/%s/%d\n      - allow: \"/srv/%s/%d/**/*.csv\" # tables\n      - deny: /srv/%s/%d/private\n", name, i, name, i, name, i)
		}
		b.WriteString("    net:\n")
		for i := range 200 {
			verb := []string{"connect", "deny"}[i%2]
			fmt.Fprintf(&b, "      - %s: 10.%d.%d.0/24\n", verb, len(name), i)
		}
	}
	return strings.Replace(b.String(), "  child:\n", "  child:\n    extends: base\n", 1)
}

func BenchmarkParseAndCompile1000(b *testing.B) {
	text := []byte(thousandRules())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := document.Parse("b.yml", text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Compile("child", document.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile1000(b *testing.B) {
	d := parse(b, thousandRules())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Compile("child", document.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	c := compile(b, thousandRules(), "child")
	for name, q := range map[string]document.Query{
		"path":    {Path: "/srv/base/77/a/b/c/table.csv", Access: policy.Read | policy.Write},
		"denied":  {Path: "/srv/base/77/private/table.csv", Access: policy.Read},
		"address": {Address: netip.MustParseAddrPort("10.4.198.7:443")},
		"import":  {Import: "json.decoder"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Explain(q)
			}
		})
	}
}

func BenchmarkDiff1000(b *testing.B) {
	d := parse(b, thousandRules())
	before, err := d.Compile("base", document.Options{})
	if err != nil {
		b.Fatal(err)
	}
	after, err := d.Compile("child", document.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		document.Diff(before, after)
	}
}

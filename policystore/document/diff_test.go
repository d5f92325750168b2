package document_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore/document"
)

func sandboxOf(keys string) string { return "version: 1.0\nsandboxes: {a: {" + keys + "}}\n" }

func TestDiff(t *testing.T) {
	for name, c := range map[string]struct{ before, after, want string }{
		"nothing":        {`mem: 128MiB`, `files: 64`, ""}, // both are the defaults
		"another form":   {`fs: [{read: /a}, {write: /a}]`, `fs: [{allow: "/a/**"}]`, ""},
		"redundant":      {`fs: [{read: /a}]`, `fs: [{read: /a}, {read: /a/b}, {deny: /c}]`, ""},
		"a path":         {`fs: [{read: /a}]`, `fs: [{allow: /a}, {read: /b}]`, "+ fs: write /a\n+ fs: read /b\n"},
		"but not":        {`{}`, `fs: [{read: /a}, {deny: /a/b}, {deny: /a/c}]`, "+ fs: read /a, but not /a/b, /a/c\n"},
		"a deny":         {`fs: [{read: /a}]`, `fs: [{read: /a}, {deny: /a/b}]`, "- fs: read /a/b\n"},
		"a glob":         {`fs: [{read: "/a/*.csv"}]`, `fs: [{read: "/a/**/*.csv"}]`, "+ fs: read /a/**/*.csv\n- fs: read /a/*.csv\n"},
		"a glob within":  {`fs: [{read: /a}]`, `fs: [{read: /a}, {read: "/a/*.csv"}]`, ""},
		"a denied glob":  {`fs: [{read: /a}]`, `fs: [{read: /a}, {deny: "/a/*.key"}]`, "- fs: what is permitted of /a/*.key\n"},
		"a deny in one":  {`fs: [{read: "/a/*.csv"}, {deny: /a/x.csv}]`, `fs: [{read: "/a/*.csv"}]`, "+ fs: what globs match in /a/x.csv\n"},
		"ports":          {`net: [{connect: "10.0.0.0/8:443"}]`, `net: [{connect: "10.0.0.0/8:80,443"}]`, "+ net: connect to 10.0.0.0/8:80\n"},
		"a network less": {`net: [{connect: 0.0.0.0/0}]`, `net: [{connect: 0.0.0.0/0}, {deny: 10.0.0.0/8}]`, "- net: connect to 10.0.0.0/8\n"},
		"all but one":    {`{}`, `net: [{connect: 0.0.0.0/0}, {deny: 10.0.0.0/8}]`, "+ net: connect to 0.0.0.0/0, but not 10.0.0.0/8\n"},
		"a host":         {`net: [{connect: "a.example:443"}]`, `net: [{connect: "b.example:443"}]`, "+ net: connect to b.example:443\n- net: connect to a.example:443\n"},
		"imports":        {`imports: [os, json]`, `imports: [os.path, math]`, "+ imports: math\n- imports: json\n- imports: os\n"},
		"all imports":    {`imports: [os]`, `imports: ["*"]`, "+ imports: *\n"},
		"fewer imports":  {`imports: ["*"]`, `imports: [os]`, "- imports: *\n"},
		"limits":         {`mem: 64MiB, wall: 1s`, `children: 1`, "+ mem: 128MiB, and not 64MiB\n+ wall: unlimited, and not 1s\n+ children: 1, and not 0\n"},
		"a rate less":    {`bandwidth: 2MiB/s`, `bandwidth: 1MiB/s`, "- bandwidth: 2MiB/s, and not 1MiB/s\n"},
		"a limit less":   {`sent: 2MiB`, `sent: 1MiB`, "- sent: 2MiB, and not 1MiB\n"},
		"windows":        {`cpu: 500ms/1s`, `cpu: 100ms/100ms`, "+ cpu: 1 processors, and not 0.5 processors\n~ cpu window: 1s → 100ms\n"},
		"a boundary":     {`{}`, `backend: process`, "- backend: weaker boundaries than process\n"},
		"contracts":      {`contracts: ["opens <= 1"]`, `contracts: ["opens <= 2"]`, "+ contracts: what this refuses: opens <= 1\n- contracts: what this refuses: opens <= 2\n"},
		"a wider set":    {"contracts: [\"connect.port in {\\n443,\\n}\"]", "contracts: [\"connect.port in {\\n443,\\n22,\\n}\"]", "+ contracts: what this refuses: connect.port == 443\n- contracts: what this refuses: connect.port in {22, 443}\n"},
		"grants":         {`capabilities: {kv: {prefix: a/}}`, `capabilities: {kv: {prefix: b/}, clock: {}}`, "+ capabilities: clock\n~ capabilities: kv {\"prefix\":\"a/\"} → kv {\"prefix\":\"b/\"}\n"},
		"others":         {`dialect: python, numa: auto`, `dialect: restricted, restart: {strategy: fresh}`, "~ dialect: python → restricted\n~ numa: auto → none\n~ restart: none → fresh, 5 in 1m\n"},
	} {
		t.Run(name, func(t *testing.T) {
			of := func(keys string) *document.Compiled {
				if keys == "{}" {
					keys = ""
				}
				return compile(t, sandboxOf(keys), "a")
			}
			if diff := cmp.Diff(c.want, document.Diff(of(c.before), of(c.after)).String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// One rule more: where a path is judged otherwise, the change is said.
func TestDiffOfOneRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := strings.Join(rapid.SliceOfN(rapid.Custom(drawFileRule), 1, 4).Draw(t, "rules"), ", ")
		before := compile(t, sandboxOf("fs: [{read: /a}, "+rules+"]"), "a")
		after := compile(t, sandboxOf(fmt.Sprintf("fs: [{read: /a}, %s, %s]", rules, drawFileRule(t))), "a")
		gained, lost := document.Diff(before, after), document.Diff(after, before)
		for range 60 {
			q := document.Query{Path: drawPath(t, []string{"a", "b", "ab"}), Access: rapid.SampledFrom([]policy.Access{policy.Read, policy.Write}).Draw(t, "access")}
			was, is := before.Explain(q).Allowed, after.Explain(q).Allowed
			if is && !was && (len(gained.Gained) == 0 || len(lost.Lost) == 0) || was && !is && (len(gained.Lost) == 0 || len(lost.Gained) == 0) {
				t.Fatalf("%s\n%s\n%+v: %v, then %v, and it says\n%s", before.Policy.Files, after.Policy.Files, q, was, is, gained)
			}
		}
	})
}

package document_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore/document"
)

var comparePrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func readFile(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every key there is, compiled.
func TestEveryKey(t *testing.T) {
	text := readFile(t, "testdata/full.yml")
	d := parse(t, text)
	c, err := d.Compile("etl", document.Options{Resolve: map[string][]netip.Addr{"api.example.com": {
		netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("::ffff:192.0.2.8"), netip.MustParseAddr("0.0.0.0"),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	port := []policy.PortRange{{First: 443, Last: 443}}
	prefix := netip.MustParsePrefix
	want := policy.Policy{
		Files: []policy.FileRule{
			{Path: "/srv/data", Glob: "/srv/data/**/*.csv", Access: policy.Read | policy.Write},
			{Path: "/srv/data/private"},
			{Path: "/srv/lib", Access: policy.Read}, {Path: "/srv/out", Access: policy.Write},
		},
		Net: []policy.NetRule{
			{Prefix: prefix("10.0.0.0/8"), Ports: port}, {Prefix: prefix("127.0.0.1/32"), Ports: []policy.PortRange{{First: 6379, Last: 6379}}},
			{Prefix: prefix("169.254.0.0/16"), Deny: true}, {Prefix: prefix("192.0.2.7/32"), Ports: port}, {Prefix: prefix("192.0.2.8/32"), Ports: port},
		},
		Children: 2,
		Quotas:   policy.Quotas{Sent: 1 << 20, Received: 10 << 20, Connects: 10, Opens: 1000},
		Contract: "bytes_sent <= 1MiB\nconnect.port in {443, 6379}",
	}
	if diff := cmp.Diff(want, c.Policy, comparePrefixes); diff != "" {
		t.Error(diff)
	}
	limits := cell.Limits{Memory: 256 << 20, CPU: 30 * time.Second, CPUWindow: time.Second, CPUPerWindow: 500 * time.Millisecond,
		Wall: 30 * time.Second, Output: 1 << 20, Files: 32, Children: 2, MessageBytes: 2 << 20, QueueItems: 100}
	if diff := cmp.Diff(limits, c.Limits); diff != "" {
		t.Error(diff)
	}
	grants := []capability.Grant{
		{Capability: "http.fetch", Rule: "p.yml:40", Scope: []byte(`{"hosts":["api.example.com"]}`), Limits: capability.Limits{RPS: 5}},
		{Capability: "secrets.get", Rule: "p.yml:41", Scope: []byte(`{"names":["DB_PASSWORD"]}`)},
	}
	if diff := cmp.Diff(grants, c.Grants); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"csv", "json", "math"}, c.Imports); diff != "" {
		t.Error(diff)
	}
	if c.Checkpoint == nil || *c.Checkpoint != (document.Checkpoint{Every: 5 * time.Minute, BeforeDrain: true, Replicas: 2}) {
		t.Errorf("it is checkpointed %v", c.Checkpoint)
	}
	if c.Backend != cell.Process || c.Dialect != "python" || c.NUMA != "1" || *c.Restart != (document.Restart{Strategy: "checkpoint", Max: 5, Within: time.Minute}) {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff([]string{"api.example.com"}, c.Names); diff != "" {
		t.Error(diff)
	}
	if again := parse(t, string(d.Canonical())); again.Hash() != d.Hash() {
		t.Error(cmp.Diff(string(d.Canonical()), string(again.Canonical())))
	}
}

// What is not said compiles to nothing, and nothing is permitted.
func TestNothing(t *testing.T) {
	c := compile(t, sandboxOf(""), "")
	if diff := cmp.Diff(policy.Policy{}, c.Policy); diff != "" || c.Limits != (cell.Limits{}) || len(c.Imports)+len(c.Grants) > 0 {
		t.Error(diff, c.Limits, c.Imports, c.Grants)
	}
	for _, q := range []document.Query{
		{Path: "/", Access: policy.Read}, {Address: netip.MustParseAddrPort("127.0.0.1:1")}, {Host: "localhost", Port: 1}, {Import: "os"},
		{}, {Path: "/a"}, {Path: "a", Access: policy.Read}, {Path: "/a/../b", Access: policy.Read}, {Import: "*"}, {Path: "/a", Import: "os", Access: policy.Read},
	} {
		if v := c.Explain(q); v.Allowed || v.Why == "" || v.Layer == "" {
			t.Errorf("%+v: %+v", q, v)
		}
	}
}

func TestLegacy(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"keys at the top": {"version: 0.1\nfs:\n  - allow: \"/srv/data/**\"\nnet:\n  - connect: \"0.0.0.0/0:443\"\nmem: 4096MiB\ncpu: 10000ms\n",
			"  default:\n    fs:\n      - allow: \"/srv/data\"\n    net:\n      - connect: \"0.0.0.0/0:443\"\n    mem: 4GiB\n    cpu_ms: 10000\n"},
		"integers":                  {"version: 0.1\nsandboxes: {a: {mem: 67108864, cpu: 250}}\n", "  a:\n    mem: 64MiB\n    cpu_ms: 250\n"},
		"mem_bytes":                 {"version: 0.1\nsandboxes: {a: {mem_bytes: 67108864}}\n", "  a:\n    mem: 64MiB\n"},
		"as in 1.0":                 {"version: 0.1\nsandboxes: {a: {cpu: 1s/2s, mem: 64MiB}}\n", "  a:\n    mem: 64MiB\n    cpu: 1s/2s\n"},
		"with quotes":               {"version: \"0.1\"\nsandboxes: {a: {}}\n", "  a: {}\n"},
		"both of cpu":               {"version: 0.1\nsandboxes: {a: {cpu: 1s/2s, cpu_ms: 250}}\n", "  a:\n    cpu: 1s/2s\n    cpu_ms: 250\n"},
		"plug-ins' keys at the top": {"version: 0.1\nx-b: 1\nx-a: 2\n", "  default:\n    x-a: 2\n    x-b: 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, c.text)
			if d.Version() != document.Version01 {
				t.Error(d.Version())
			}
			if diff := cmp.Diff("version: 1.0\nsandboxes:\n"+c.want, string(d.Canonical())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A value of version 0.1 that is given by both of its names is told of, whichever comes first.
func TestLegacyTwice(t *testing.T) {
	for text, want := range map[string]string{
		"mem: 64MiB, mem_bytes: 1073741824": "mem_bytes is the same as mem on line 2",
		"mem_bytes: 67108864, mem: 1GiB":    "mem is the same as mem_bytes on line 2",
		"mem_bytes: 67108864, mem: 1024":    "mem is the same as mem_bytes on line 2",
		"cpu: 250, cpu_ms: 9000":            "cpu_ms is the same as cpu without a window on line 2",
		"cpu_ms: 250, cpu: 9s":              "cpu without a window is the same as cpu_ms on line 2",
	} {
		for place, whole := range map[string]string{"in a sandbox": "version: 0.1\nsandboxes: {a: {%s}}\n", "at the top": "{version: 0.1,\n%s}\n"} {
			if _, err := document.Parse("p.yml", fmt.Appendf(nil, whole, text)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: %v", text, place, err)
			}
		}
	}
}

// The forms in which a text may differ and mean the same.
func TestForms(t *testing.T) {
	want := parse(t, "version: 1.0\nsandboxes:\n  a:\n    imports: [\"math\"]\n    mem: 1GiB\n    wall: 90s\n    net: [{connect: \"10.0.0.0/8:1-3,5\"}]\n")
	for name, text := range map[string]string{
		"comments, order, units": "---\n# a\nsandboxes: # b\n  a:\n    net:\n    - connect: 10.0.0.0/8:5,1,2-3\n    wall: 1m30s\n    mem: 1024MiB\n    imports: math\nversion: '1.0'\n",
		"flow":                   "{version: 1.0, sandboxes: {a: {imports: math, mem: 1GiB, wall: 1.5m, net: [{connect: ['10.0.0.0/8:1-3,5']}]}}}",
		"ends of lines":          "version: 1.0\r\nsandboxes:\r\n  a:\r\n    imports: [math]\r\n    mem: 1GiB\r\n    wall: 90s\r\n    net: [{connect: \"10.0.0.0/8:1-3,5\"}]\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got := parse(t, text); got.Hash() != want.Hash() {
				t.Error(cmp.Diff(string(want.Canonical()), string(got.Canonical())))
			}
		})
	}
}

func TestChoice(t *testing.T) {
	d := parse(t, "version: 1.0\nsandboxes: {a: {}, b: {}}\n")
	for name, want := range map[string]string{"": "several sandboxes: choose one of a, b", "c": `no sandbox "c"; it has a, b`} {
		if _, err := d.Compile(name, document.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"a", "b"}, d.Sandboxes()); diff != "" || d.File() != "p.yml" {
		t.Error(diff, d.File())
	}
}

// Bounds hold, and say themselves.
func TestBounds(t *testing.T) {
	many := func(n int) string { return strings.Repeat("{read: /a},", n) }
	for name, c := range map[string]struct{ text, want string }{
		"size":      {strings.Repeat("#", document.MaxSize+1), "1048576 are possible"},
		"sandboxes": {"version: 1.0\nsandboxes:\n" + manySandboxes(document.MaxSandboxes+1), "more than 256 sandboxes"},
		"rules":     {sandboxOf("fs: [" + many(document.MaxRules+1) + "]"), "more than 10000 entries in one list"},
		"networks":  {sandboxOf("net: [" + strings.Repeat("{deny: 10.0.0.0/8},", document.MaxNetworks+1) + "]"), "has 2049 networks"},
		"hosts":     {sandboxOf(hostRules(document.MaxHosts + 1)), "has 65 rules with host names"},
		"inherited": {"version: 1.0\nsandboxes:\n  a: {fs: [" + many(6000) + "]}\n  b: {extends: a}\n  c: {extends: b, fs: [" + many(4001) + "]}\n", "sandbox c has 10001 rules"},
		"too much":  {sandboxOf("fs: [" + longPaths(1100) + "]"), "take 259600 bytes; 256000 are possible"},
		"just fits": {sandboxOf("fs: [" + longPaths(1080) + "]"), ""},
		"enough":    {"version: 1.0\nsandboxes:\n  a: {fs: [" + many(6000) + "]}\n  b: {extends: a}\n  c: {extends: b, fs: [" + many(4000) + "]}\n", ""},
		"together":  {"version: 1.0\ndefaults: {fs: [" + many(1000) + "]}\nsandboxes:\n" + manySandboxes(101), "more than 100000 rules"},
		"contracts": {sandboxOf("contracts: [" + strings.Repeat(`"opens <= 1",`, 129) + "]"), "129 contracts"},
		"entries":   {"version: 1.0\nsandboxes:\n  a:\n" + strings.Repeat("    mem: 64MiB\n", 1025), "more than 1024 keys"},
		"in flow":   {"version: 1.0\nsandboxes: {a: {capabilities: {" + strings.Repeat("kv: {},", 1025) + "}}}\n", "more than 1024 keys"},
		"brackets":  {strings.Repeat("[", 1<<19), "nested deeper than 16 levels"},
		"blocks":    {strings.Repeat("- ", 1<<19), "indented by more than 256 columns"},
		"keys":      {strings.Repeat("? ", 1<<19), "keys that are not words"},
		"anchors":   {strings.Repeat("&a ", 1<<18), "anchors are not allowed"},
		"columns":   {sandboxOf("") + strings.Repeat(" ", 300) + "a: b\n", "more than 256 columns"},
		"imports":   {sandboxOf("imports: [" + strings.Repeat("a,", 1025) + "]"), "1024 are possible"},
		"wildcards": {sandboxOf("fs: [{read: \"/a" + strings.Repeat("/*", 9) + "\"}]"), "has 9 * and **; 8 are possible"},
		"too long":  {sandboxOf("fs: [{read: /" + strings.Repeat("a", 260) + "}]"), "251 are possible"},
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			err := check("p.yml", []byte(c.text))
			var problems document.Problems
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &problems) || !strings.Contains(problems[0].Error(), c.want) || len(problems) > document.MaxProblems {
				t.Errorf("%.200v", err)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			if len(problems.Text()) > 64<<10 {
				t.Errorf("%d bytes of problems", len(problems.Text()))
			}
		})
	}
}

// A megabyte of whatever it is ends in time. The worst that the parser has is some
// hundred times quicker than this bound.
func TestTime(t *testing.T) {
	size := document.MaxSize
	if testing.Short() {
		size /= 8
	}
	fill := func(head, part string) string {
		return head + strings.Repeat(part, (size-len(head))/len(part))
	}
	for name, text := range map[string]string{
		"a word": fill("", "a"), "lines": fill("", "a\n"), "keys": fill("", "a: b\n"), "keys with comments": fill("", "a: b # c\n"),
		"keys that end with CR": fill("", "a: b\r\n"), "a list": fill("", "- a\n"), "a list in brackets": fill("[", "a,"),
		"a map in brackets": fill("{", "a: b,"), "quotes": fill("", "\""), "text": fill("a: |\n", " a\n"), "escapes": fill("\"", "\\n"),
		"blocks": fill("", "|\n"), "comments": fill("", "#\n"), "spaces": fill("", " "), "colons": fill("", ":"), "imports": fill("version: 1.0\nsandboxes: {a: {imports: [", "a,"),
		"contracts that are wrong": fill("version: 1.0\nsandboxes: {a: {contracts: [", `"`+strings.Repeat("x", 100)+`", `) + "]}}\n",
		"rules that are wrong":     fill("version: 1.0\nsandboxes:\n  a:\n    fs:\n", "      - raed: /\n"),
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			if err := check("p.yml", []byte(text)); err == nil {
				t.Error("it is taken")
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// longPaths are distinct and have 230 bytes.
func longPaths(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{read: /%04d%s},", i, strings.Repeat("a", 225))
	}
	return b.String()
}

func manySandboxes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("  s" + strings.Repeat("x", i%50) + string(rune('a'+i/50)) + ": {}\n")
	}
	return b.String()
}

// A document and what is compiled of it may be used by several at once.
func TestConcurrentUse(t *testing.T) {
	d := parse(t, thousandRules())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			c, err := d.Compile("child", document.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			c.Explain(document.Query{Path: "/srv/base/1/a", Access: policy.Read})
			document.Diff(c, c)
			d.Canonical()
		})
	}
	wait.Wait()
}

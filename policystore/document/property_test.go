package document_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// Documents and questions are about few names and networks, so that rules meet.

func drawPath(t *rapid.T, names []string) string {
	var b strings.Builder
	for range rapid.IntRange(1, 4).Draw(t, "names") {
		b.WriteString("/" + rapid.SampledFrom(names).Draw(t, "name"))
	}
	return b.String()
}

func drawPattern(t *rapid.T) string {
	return drawPath(t, []string{"a", "b", "ab", "a", "b", "*", "?", "**", "a*"})
}

func drawFileRule(t *rapid.T) string {
	verb := rapid.SampledFrom([]string{"allow", "read", "write", "deny"}).Draw(t, "verb")
	return fmt.Sprintf("{%s: %q}", verb, drawPattern(t))
}

func drawNetwork(t *rapid.T) string {
	return rapid.SampledFrom([]string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.1", "::/0", "fd00::/8", "fd00::1"}).Draw(t, "network")
}

func drawNetRule(t *rapid.T) string {
	verb := rapid.SampledFrom([]string{"connect", "connect", "deny"}).Draw(t, "verb")
	network := drawNetwork(t)
	if ports := rapid.SampledFrom([]string{"", "443", "80,443", "1-100", "0-65535"}).Draw(t, "ports"); ports != "" {
		if strings.Contains(network, "::") {
			network = "[" + network + "]"
		}
		network += ":" + ports
	}
	return fmt.Sprintf("{%s: %q}", verb, network)
}

func drawSandbox(t *rapid.T, name, parent string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n", name)
	if parent != "" {
		fmt.Fprintf(&b, "    extends: %s\n", parent)
	}
	fmt.Fprintf(&b, "    fs: [%s]\n", strings.Join(rapid.SliceOfN(rapid.Custom(drawFileRule), 0, 6).Draw(t, "fs"), ", "))
	fmt.Fprintf(&b, "    net: [%s]\n", strings.Join(rapid.SliceOfN(rapid.Custom(drawNetRule), 0, 6).Draw(t, "net"), ", "))
	fmt.Fprintf(&b, "    imports: [%s]\n", strings.Join(rapid.SliceOfN(rapid.Custom(drawModule), 0, 3).Draw(t, "imports"), ", "))
	return b.String()
}

func drawModule(t *rapid.T) string {
	return rapid.SampledFrom([]string{"os", "os.path", "json", "xml.dom", `"*"`}).Draw(t, "module")
}

// drawDocument has a sandbox `base` and a sandbox `child` that extends it.
func drawDocument(t *rapid.T) string {
	return "version: 1.0\nsandboxes:\n" + drawSandbox(t, "base", "") + drawSandbox(t, "child", "base")
}

func parse(t interface{ Fatalf(string, ...any) }, text string) *document.Document {
	d, err := document.Parse("p.yml", []byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return d
}

func compile(t interface{ Fatalf(string, ...any) }, text, sandbox string) *document.Compiled {
	c, err := parse(t, text).Compile(sandbox, document.Options{})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return c
}

func drawQuery(t *rapid.T) document.Query {
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		access := rapid.SampledFrom([]policy.Access{policy.Read, policy.Write, policy.Read | policy.Write}).Draw(t, "access")
		return document.Query{Path: drawPath(t, []string{"a", "b", "ab", "abc"}), Access: access}
	case 1:
		address := rapid.SampledFrom([]string{"10.1.1.1", "10.1.1.2", "10.1.2.1", "10.2.1.1", "11.0.0.1", "fd00::1", "fd00::2", "fe00::1"}).Draw(t, "address")
		port := rapid.SampledFrom([]uint16{0, 50, 80, 443, 444, 65535}).Draw(t, "port")
		return document.Query{Address: netip.AddrPortFrom(netip.MustParseAddr(address), port)}
	}
	return document.Query{Import: rapid.SampledFrom([]string{"os", "os.path", "json", "json.decoder", "xml", "ctypes", "concurrent.interpreters.x", "builtins"}).Draw(t, "import")}
}

// judge is what the layers below make of compiled rules: the longest path or prefix decides,
// and of globs what package policy says.
func judge(p policy.Policy, q document.Query) bool {
	if q.Path != "" {
		return policy.Judge(p.Files, q.Path)&q.Access == q.Access
	}
	var best *policy.NetRule
	for i, r := range p.Net {
		if r.Prefix.Contains(q.Address.Addr()) && (best == nil || r.Prefix.Bits() > best.Prefix.Bits()) {
			best = &p.Net[i]
		}
	}
	if best == nil || best.Deny || q.Address.Addr().IsUnspecified() {
		return false
	}
	port := q.Address.Port()
	return len(best.Ports) == 0 || slices.ContainsFunc(best.Ports, func(r policy.PortRange) bool { return r.First <= port && port <= r.Last })
}

func TestExplainAgreesWithCompiledRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawDocument(t)
		c := compile(t, text, "child")
		for range 20 {
			q := drawQuery(t)
			if q.Import != "" {
				continue
			}
			if v := c.Explain(q); v.Allowed != judge(c.Policy, q) {
				t.Fatalf("%s\n%+v: explained as %+v, and judged otherwise by %+v", text, q, v, c.Policy)
			}
		}
	})
}

func TestDenyBeatsAllow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern, network := drawPattern(t), drawNetwork(t)
		text := drawDocument(t)
		denied := strings.Replace(text, "    fs: [", fmt.Sprintf("    fs: [{deny: %q}, ", pattern), 1)
		denied = strings.Replace(denied, "    net: [", fmt.Sprintf("    net: [{deny: %q}, ", network), 1)
		c := compile(t, denied, "child") // the parent denies, whatever the child says
		alone := compile(t, fmt.Sprintf("version: 1.0\nsandboxes: {a: {fs: [{allow: /}, {deny: %q}], net: [{connect: 0.0.0.0/0}, {connect: \"::/0\"}, {deny: %q}]}}\n", pattern, network), "a")
		for range 20 {
			q := drawQuery(t)
			if q.Import == "" && !alone.Explain(q).Allowed && c.Explain(q).Allowed {
				t.Fatalf("%s\n%+v is allowed although it is denied", denied, q)
			}
		}
	})
}

// A child without deny permits what its parent does; and permits nothing that neither its
// own rules nor its parent's permit.
func TestExtendsIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := drawSandbox(t, "base", "")
		child := strings.NewReplacer("{deny: \"/", "{read: \"/", "{deny: \"", "{connect: \"").Replace(drawSandbox(t, "child", "base"))
		text := "version: 1.0\nsandboxes:\n" + base + child
		alone := compile(t, "version: 1.0\nsandboxes:\n"+strings.Replace(child, "    extends: base\n", "", 1), "child")
		parent, both := compile(t, text, "base"), compile(t, text, "child")
		for range 20 {
			q := drawQuery(t)
			p, a, b := parent.Explain(q).Allowed, alone.Explain(q).Allowed, both.Explain(q).Allowed
			if p && !b {
				t.Fatalf("%s\n%+v: the parent permits it, the child does not", text, q)
			}
			single := q.Access&(q.Access-1) == 0 // two rules may give one access each
			if b && !p && !a && single {
				t.Fatalf("%s\n%+v: the child permits it, and neither of its parts", text, q)
			}
		}
	})
}

func TestCompileIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawDocument(t)
		a, b := compile(t, text, "child"), compile(t, text, "child")
		if diff := cmp.Diff(a.Policy, b.Policy, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || a.Hash != b.Hash {
			t.Fatal(diff)
		}
		again := compile(t, string(parse(t, text).Canonical()), "child")
		if a.Hash != again.Hash {
			t.Fatalf("the canonical form means something else:\n%s", parse(t, text).Canonical())
		}
	})
}

func TestCanonicalIsAFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := parse(t, drawDocument(t))
		again := parse(t, string(d.Canonical()))
		if !bytes.Equal(d.Canonical(), again.Canonical()) || d.Hash() != again.Hash() {
			t.Fatal(cmp.Diff(string(d.Canonical()), string(again.Canonical())))
		}
	})
}

// Diff leaves nothing out: where nothing is gained, nothing is permitted that was not.
func TestDiffLeavesNothingOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two := drawDocument(t), drawDocument(t)
		if rapid.Bool().Draw(t, "near") { // the same, but for one rule
			two = strings.Replace(one, "    fs: [", "    fs: ["+drawFileRule(t)+", ", 1)
		}
		before, after := compile(t, one, "child"), compile(t, two, "child")
		changes := document.Diff(before, after)
		for range 20 {
			q := drawQuery(t)
			was, is := before.Explain(q).Allowed, after.Explain(q).Allowed
			if is && !was && len(changes.Gained) == 0 || was && !is && len(changes.Lost) == 0 {
				t.Fatalf("%s\n%s\n%+v: %v, then %v; but\n%s", one, two, q, was, is, changes)
			}
		}
		if !document.Diff(before, before).Empty() {
			t.Fatalf("%s\ndiffers from itself:\n%s", one, document.Diff(before, before))
		}
	})
}

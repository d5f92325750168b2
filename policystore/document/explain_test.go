package document_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore/document"
)

func TestExplain(t *testing.T) {
	text := `version: 1.0
sandboxes:
  a:
    imports: [os.path, json]
    fs:
      - read: /a
      - write: "/a/**/*.log"
      - deny: /a/private
    net:
      - connect: ["10.0.0.0/8:443", "Pinned.example:443", "gone.example", "unknown.example:80-90", "0.0.0.0/0:22", "[::/0]:22"]
      - deny: 10.1.0.0/16
`
	c, err := parse(t, text).Compile("a", document.Options{Resolve: map[string][]netip.Addr{
		"pinned.example": {netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("192.0.2.1")},
		"gone.example":   {netip.MustParseAddr("10.1.0.2")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	address := func(text string) document.Query { return document.Query{Address: netip.MustParseAddrPort(text)} }
	for name, q := range map[string]struct {
		document.Query
		allowed bool
		line    int
		why     string
	}{
		"a file":               {document.Query{Path: "/a/x", Access: policy.Read}, true, 6, "give r--"},
		"both by two rules":    {document.Query{Path: "/a/x.log", Access: policy.Read | policy.Write}, true, 6, "give rw-"},
		"one of two":           {document.Query{Path: "/a/x", Access: policy.Read | policy.Write}, false, 6, "give r--, and not -w-"},
		"below what is denied": {document.Query{Path: "/a/private/x.log", Access: policy.Write}, false, 8, "beats every allow"},
		"to execute":           {document.Query{Path: "/a/x", Access: policy.Execute}, false, 0, "and not --x"},
		"no rule":              {document.Query{Path: "/ab", Access: policy.Read}, false, 0, "no rule is about it"},
		"an address":           {address("10.2.0.1:443"), true, 10, "permits it"},
		"another port":         {address("10.2.0.1:80"), false, 0, "no rule is about it"},
		"denied":               {address("10.1.2.3:443"), false, 11, "beats every connect"},
		"IPv4 in IPv6":         {address("[::ffff:10.1.2.3]:443"), false, 11, "beats every connect"},
		"any address":          {address("192.0.2.9:22"), true, 10, "permits it"},
		"no address":           {address("0.0.0.0:22"), false, 0, "this machine"},
		"none in IPv6":         {address("[::ffff:0.0.0.0]:22"), false, 0, "this machine"},
		"none of IPv6":         {address("[::]:22"), false, 0, "this machine"},
		"pinned":               {address("192.0.2.1:443"), true, 10, "permits it"},
		"pinned and denied":    {address("10.1.0.1:443"), false, 11, "beats every connect"},
		"a host":               {document.Query{Host: "pinned.example.", Port: 443}, true, 10, "it is 192.0.2.1 at the moment"},
		"a host's other port":  {document.Query{Host: "pinned.example", Port: 80}, false, 0, "no rule names it"},
		"a denied host":        {document.Query{Host: "GONE.example", Port: 1}, false, 10, "all its addresses are denied"},
		"an unknown host":      {document.Query{Host: "unknown.example", Port: 85}, true, 10, "the addresses that the node finds"},
		"another host":         {document.Query{Host: "x.unknown.example", Port: 80}, false, 0, "no rule names it"},
		"a module":             {document.Query{Import: "json.decoder"}, true, 4, "it is granted"},
		"on the way":           {document.Query{Import: "os"}, true, 4, "it is granted"},
		"beside":               {document.Query{Import: "os.x"}, false, 0, "no rule grants it"},
		"every guest's":        {document.Query{Import: "builtins"}, true, 0, "every guest"},
		"nobody's":             {document.Query{Import: "ctypes.util"}, false, 0, "no guest may name ctypes"},
		"no module":            {document.Query{Import: "a b"}, false, 0, "not the name"},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.Explain(q.Query)
			if v.Allowed != q.allowed || v.Line != q.line || !strings.Contains(v.Why, q.why) || (v.Line > 0) != (v.Rule != "") {
				t.Errorf("%+v", v)
			}
		})
	}
}

// A name leads nowhere that must be named by its address.
func TestNamesAreNotTrusted(t *testing.T) {
	addresses := []netip.Addr{{}}
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "224.0.0.1", "ff02::1", "255.255.255.255",
		"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::127.0.0.1",
		"fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "64:ff9b::100.100.100.200",
	} {
		addresses = append(addresses, netip.MustParseAddr(text))
	}
	c, err := parse(t, sandboxOf(`net: [{connect: "x.example:80"}]`)).Compile("", document.Options{Resolve: map[string][]netip.Addr{"x.example": addresses}})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Policy.Net) != 0 || len(c.Names) != 1 {
		t.Errorf("%v, %v", c.Policy.Net, c.Names)
	}
}

// Other addresses of a name count, private ones and those of IPv4 behind NAT64, too.
func TestNamesAreReachable(t *testing.T) {
	for _, text := range []string{"192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1", "64:ff9b::192.0.2.1"} {
		o := document.Options{Resolve: map[string][]netip.Addr{"x.example": {netip.MustParseAddr(text)}}}
		c, err := parse(t, sandboxOf(`net: [{connect: "x.example:80"}]`)).Compile("", o)
		if err != nil || len(c.Policy.Net) != 1 || len(c.Unresolved) != 0 {
			t.Errorf("%s: %v %v", text, c, err)
		}
	}
}

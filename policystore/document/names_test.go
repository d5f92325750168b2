package document_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/policystore/document"
)

// crowd are n addresses, the last one first.
func crowd(n int) (list []netip.Addr) {
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{192, 0, byte((n - i) >> 8), byte(n - i)}))
	}
	return list
}

// hostRules is a list of rules for n names, h0.example and so on.
func hostRules(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("{connect: 'h%d.example:%d'}", i, 1+i)
	}
	return "net: [" + strings.Join(list, ", ") + "]"
}

// However many addresses a name is given, it counts for the lowest few.
func TestAddressesAreBounded(t *testing.T) {
	resolve := map[string][]netip.Addr{}
	for i := range document.MaxHosts {
		resolve[fmt.Sprintf("h%d.example", i)] = crowd(3000)
	}
	resolve["h1.example"] = crowd(2)
	c, err := parse(t, sandboxOf(hostRules(2))).Compile("", document.Options{Resolve: resolve})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Policy.Net); n != document.MaxAddresses || c.Policy.Net[0].Prefix.String() != "192.0.0.1/32" {
		t.Errorf("%d prefixes, the first is %v", n, c.Policy.Net[0])
	}
	if !slices.Equal(c.Unresolved, []string{"h0.example"}) {
		t.Errorf("unresolved: %v", c.Unresolved)
	}
	if _, err := parse(t, sandboxOf(hostRules(document.MaxHosts))).Compile("", document.Options{Resolve: resolve}); err != nil {
		t.Error(err)
	}
}

// An answer with another name's address takes nothing from that one, and spoils no document.
func TestAnswersSpoilNothing(t *testing.T) {
	text := `net: [{connect: "192.0.2.0/24:9000"}, {connect: "a.example:1,3,5,7,9"}, {connect: "b.example:11,13,15,17,19"}, {connect: "c.example:1"}]`
	same := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	c, err := parse(t, sandboxOf(text)).Compile("", document.Options{Resolve: map[string][]netip.Addr{"a.example": same, "b.example": same, "c.example": same}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Unresolved, []string{"b.example"}) {
		t.Errorf("unresolved: %v", c.Unresolved)
	}
	for port, want := range map[uint16]bool{1: true, 9: true, 9000: true, 11: false} {
		if got := c.Explain(document.Query{Address: netip.AddrPortFrom(same[0], port)}); got.Allowed != want {
			t.Errorf("port %d: %+v", port, got)
		}
	}
	// What is written by addresses is the document's own fault.
	text = `net: [{connect: "192.0.2.1:1,3,5,7,9"}, {connect: "192.0.2.1:11,13,15,17,19"}, {connect: "a.example:21"}]`
	if _, err := parse(t, sandboxOf(text)).Compile("", document.Options{Resolve: map[string][]netip.Addr{"a.example": same}}); err == nil {
		t.Error("ten ranges at one address compile")
	}
}

// A prefix that only a dropped name was about has the ports of those around it.
func TestDroppedNamesLeaveNothing(t *testing.T) {
	text := `net: [{connect: "192.0.2.0/24:2-9999"}, {deny: "192.0.0.0/16:5,7,9,11,13,15,17"}, {connect: "a.example:20000"}]`
	with := func(o document.Options) *document.Compiled {
		c, err := parse(t, sandboxOf(text)).Compile("", o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := with(document.Options{Resolve: map[string][]netip.Addr{"a.example": {netip.MustParseAddr("192.0.2.1")}}})
	if plain := with(document.Options{}); len(c.Policy.Net) != len(plain.Policy.Net) || c.Hash != plain.Hash {
		t.Errorf("%v; want %v", c.Policy.Net, plain.Policy.Net)
	}
	if !slices.Equal(c.Unresolved, []string{"a.example"}) {
		t.Errorf("unresolved: %v", c.Unresolved)
	}
}

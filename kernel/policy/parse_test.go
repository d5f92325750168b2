package policy

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var prefixes = cmpopts.EquateComparable(netip.Prefix{})

func TestParseNetRule(t *testing.T) {
	for text, want := range map[string]NetRule{
		"10.0.0.1":               {Prefix: netip.MustParsePrefix("10.0.0.1/32")},
		"10.0.0.0/8":             {Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		"10.0.0.0/8:443":         {Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ports: []PortRange{{443, 443}}},
		"10.0.0.1:443,8000-8100": {Prefix: netip.MustParsePrefix("10.0.0.1/32"), Ports: []PortRange{{443, 443}, {8000, 8100}}},
		"::1":                    {Prefix: netip.MustParsePrefix("::1/128")},
		"2001:db8::/32":          {Prefix: netip.MustParsePrefix("2001:db8::/32")},
		"[2001:db8::/32]:443":    {Prefix: netip.MustParsePrefix("2001:db8::/32"), Ports: []PortRange{{443, 443}}},
		"[::1]":                  {Prefix: netip.MustParsePrefix("::1/128")},
	} {
		got, err := ParseNetRule(text)
		if diff := cmp.Diff(want, got, prefixes); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for _, text := range []string{"", ":", "host", "host:443", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:70000", "10.0.0.1:9-8", "10.0.0.1/8",
		"[::1", "[::1]443", "::ffff:10.0.0.1", "10.0.0.1:1,2,3,4,5,6,7,8,9", "fe80::1%eth0"} {
		if got, err := ParseNetRule(text); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

func FuzzParseNetRule(f *testing.F) {
	for _, text := range []string{"10.0.0.0/8:443,8000-8100", "[2001:db8::/32]:1-2", "::1", "["} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseNetRule(text)
		if err == nil {
			err = Policy{Net: []NetRule{r}}.Validate()
		} else {
			return
		}
		if err != nil {
			t.Errorf("%q gives an invalid rule: %v", text, err)
		}
	})
}

package document

import (
	"net/netip"
	"testing"
)

func TestParsePeer(t *testing.T) {
	for text, want := range map[string]Query{
		"10.0.0.1:443":    {Address: netip.MustParseAddrPort("10.0.0.1:443")},
		"[2001:db8::1]:1": {Address: netip.MustParseAddrPort("[2001:db8::1]:1")},
		"example.com:80":  {Host: "example.com", Port: 80},
	} {
		if got, err := ParsePeer(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":1", "host", "host:", "host:70000", "2001:db8::1:1x", "http://host:1", "[::1:80"} {
		if got, err := ParsePeer(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

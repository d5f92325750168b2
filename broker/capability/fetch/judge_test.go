package fetch

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
)

func TestJudge(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700:4700::1111": true, "::ffff:8.8.8.8": true, "64:ff9b::8.8.8.8": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "127.0.0.1": false, "127.255.255.255": false,
		"169.254.1.1": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "172.32.0.1": true,
		"192.168.0.1": false, "192.0.2.1": false, "198.18.0.1": false, "224.0.0.1": false, "239.1.1.1": false, "240.0.0.1": false,
		"255.255.255.255": false, "100.100.100.200": false, "168.63.129.16": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false, "::8.8.8.8": false,
		"64:ff9b::127.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::8.8.8.8": false, "2002:7f00:1::": false, "2002:808:808::1": false,
		"2001::1": false, "2001:0:808:808::": false, "2001:db8::1": false, "fc00::1": false, "fd00:ec2::254": false, "fd12::1": false,
		"fe80::1": false, "febf::1": false, "fec0::1": false, "ff02::1": false, "100::1": false, "3fff::1": false, "5f00::1": false,
		"fe80::1%eth0": false, "2606:4700::5efe:10.0.0.1": false, "2606:4700::200:5efe:10.0.0.1": false,
	} {
		err := judge(netip.MustParseAddr(address), nil)
		if (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
		if err != nil && capability.KindOf(err) != capability.Denied {
			t.Errorf("%s: %v is not a refusal", address, err)
		}
	}
}

func TestGrantedAddresses(t *testing.T) {
	granted := prefixes("127.0.0.0/8", "169.254.0.0/16", "fd00::/8", "10.0.0.7/32", "2002::/16")
	for address, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.0.0.1": true, "64:ff9b::7f00:1": true, "10.0.0.7": true, "10.0.0.8": false, "169.254.1.1": true, "fd12::1": true,
		"169.254.169.254": false, "fd00:ec2::254": false, "::ffff:169.254.169.254": false, "2002:7f00:1::": true,
	} {
		if err := judge(netip.MustParseAddr(address), granted); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	exactly := prefixes("169.254.169.254/32")
	if err := judge(netip.MustParseAddr("169.254.169.254"), exactly); err != nil {
		t.Error("named exactly:", err)
	}
}

func TestThisMachinesOwnAddresses(t *testing.T) {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range interfaces {
		addr, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if !own(addr.Unmap()) || judge(addr, nil) == nil {
			t.Errorf("%s is not taken for our own", addr)
		}
	}
	if own(netip.MustParseAddr("192.0.2.1")) {
		t.Error("192.0.2.1 is nobody's")
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, url string
		want         bool
	}{
		{"api.example.com", "https://api.example.com/", true},
		{"api.example.com", "http://API.Example.COM./", true},
		{"api.example.com", "http://api.example.com:8080/", false},
		{"api.example.com", "https://api.example.com:80/", false},
		{"api.example.com:443", "https://api.example.com/", true},
		{"api.example.com:443", "http://api.example.com/", false},
		{"https://api.example.com", "http://api.example.com/", false},
		{"API.example.com.", "https://api.example.com/", true},
		{"*.example.com", "https://a.b.example.com/", true},
		{"*.example.com", "https://example.com/", false},
		{"*.example.com", "https://badexample.com/", false},
		{"[::1]:80", "http://[0:0:0:0:0:0:0:1]/", true},
		{"127.0.0.1", "http://[::ffff:127.0.0.1]/", true},
		{"10.0.0.1:8080", "http://10.0.0.1:8080/", true},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		_, to, err := parseURL(c.url)
		if err != nil || p.matches(to) != c.want {
			t.Errorf("%s with %s: %v, %v", c.pattern, c.url, p.matches(to), err)
		}
	}
}

// FuzzURL: what we say a URL's host is, and what is put on the wire, are the same;
// and no URL passes that is not on the list.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"http://a.example.com/x?y#z", "https://[::1]:80", "http://a@b.example.com", "http://a.example.com\\@evil.org", "http://127.1", "http://example.com%2eevil.org", "http://evil.org?.example.com", "http://[::ffff:7f00:1]"} {
		f.Add(s)
	}
	list, err := parsePattern("*.example.com")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, to, err := parseURL(text)
		if err != nil {
			if capability.KindOf(err) != capability.Invalid {
				t.Fatal(err)
			}
			return
		}
		again, err := url.Parse(u.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, u, err)
		}
		back, err := parseTarget(again)
		if err != nil || back != to {
			t.Fatalf("%q leads to %s and then to %s (%v)", text, to, back, err)
		}
		if list.matches(to) && !strings.HasSuffix(again.Hostname(), ".example.com") {
			t.Fatalf("%q matches, with host %q", text, again.Hostname())
		}
		host, port, err := splitPort(to.authority())
		if err != nil || host != to.host || port != 0 && port != to.port {
			t.Fatalf("authority %q of %s", to.authority(), to)
		}
	})
}

// FuzzPattern: a list entry that is read matches what it says of itself.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"a.b", "*.a.b:1", "https://a.b", "[::1]:80", "1.2.3.4", "a:b:c", "*."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePattern(text)
		if err != nil {
			if capability.KindOf(err) != capability.Invalid {
				t.Fatal(err)
			}
			return
		}
		to := target{scheme: "https", host: p.host, addr: p.addr, port: p.port}
		if p.scheme != "" {
			to.scheme = p.scheme
		}
		if to.port == 0 {
			to.port = defaultPort(to.scheme)
		}
		if p.wild {
			to.host = "x." + to.host
		}
		if !p.matches(to) {
			t.Fatalf("%q does not match %s", text, to)
		}
		u, parsed, err := parseURL(to.scheme + "://" + to.authority())
		if err != nil || parsed != to {
			t.Fatalf("%q: %v is not %v (%v, %v)", text, parsed, to, u, err)
		}
	})
}

// FuzzHeaders: what passes is none of the node's own, claims no proxy, and is one line
// each on the wire.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{`{"Accept":"x"}`, `{"a":["1","2"],"A":"3"}`, `{"X-Forwarded-For":"1.2.3.4"}`, `{"host":"evil"}`,
		`{"A":"b\r\nHost: evil"}`, `{"A\r\n":"b"}`, `{"Content-Length":[]}`, `{"\u0130":"x"}`, `{"A":null}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var given map[string]values
		if json.Unmarshal([]byte(text), &given) != nil {
			return
		}
		h, err := (&scope{}).requestHeader(given)
		if err != nil {
			if k := capability.KindOf(err); k != capability.Invalid && k != capability.Denied && k != capability.TooLarge {
				t.Fatal(err)
			}
			return
		}
		lines := 0
		for name, values := range h {
			own := name == "User-Agent" || name == "Accept-Encoding"
			if !own && (slices.Contains(reserved, asRead(name)) || isForwarding(asRead(name))) {
				t.Fatalf("%s lets %s through", text, name)
			}
			lines += len(values)
		}
		var wire bytes.Buffer
		if err := h.Write(&wire); err != nil || strings.Count(wire.String(), "\n") != lines {
			t.Fatalf("%s is %q on the wire, %d lines are meant (%v)", text, wire.String(), lines, err)
		}
	})
}

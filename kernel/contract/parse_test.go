package contract

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestText: what is written on the left is the contract on the right, and so is that.
func TestText(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"", ""},
		{"# nothing\n\n;;\n", ""},
		{"opens <= 100", "opens <= 100"},
		{"opens < 100", "opens <= 99"},
		{"opens<1000 # fewer", "opens <= 999"},
		{"opens > 5", "opens >= 6"},
		{"opens != 5", "opens != 5"},
		{"not opens == 5", "opens != 5"},
		{"opens == 5; connects == 6", "opens == 5\nconnects == 6"},
		{"bytes_sent <= 1024KiB", "bytes_sent <= 1MiB"},
		{"bytes_sent < 1025", "bytes_sent <= 1KiB"},
		{"bytes_sent <= 18446744073709551614", "bytes_sent <= 18446744073709551614"},
		{"bytes_sent <= 17B", "bytes_sent <= 17"},
		{"cpu < 1h", "cpu < 1h"},
		{"cpu <= 60000ms", "cpu <= 1min"},
		{"cpu == 0", "cpu == 0ns"},
		{"not cpu <= 3s", "not cpu <= 3s"},
		{"connect.port in {443, 80..89, 8443, 85..90, 91,}", "connect.port in {80..91, 443, 8443}"},
		{"connect.port not in {443}", "connect.port != 443"},
		{"connect.port in {\n  443, # https\n  8443,\n}", "connect.port in {443, 8443}"},
		{"connect.protocol == tcp", "connect.protocol == tcp"},
		{"connect.protocol in {udp, tcp}", "connect.protocol in {tcp, udp}"},
		{"connect.family != ipv4", "connect.family != ipv4"},
		{"connect.address == 10.0.0.1", "connect.address == 10.0.0.1"},
		{"connect.address in {10.0.0.0/8, ::1, 10.1.0.0/16, fe80::/10}", "connect.address in {10.0.0.0/8, fe80::/10, ::1}"},
		{"connect.address not in {0.0.0.0/0}", "connect.address not in {0.0.0.0/0}"},
		{`open.path under "/data"`, `open.path under "/data"`},
		{`open.path not under {"/b", "/a", "/b"}`, `open.path not under {"/a", "/b"}`},
		{`open.path == "/a\x20\"b"`, `open.path == "/a \"b"`},
		{`open.path in {"/b", "/a"}`, `open.path in {"/a", "/b"}`},
		{"open.write", "open.write"},
		{"not open.write", "not open.write"},
		{"not not open.write", "open.write"},
		{"open.read and open.write or not open.execute", "open.read and open.write or not open.execute"},
		{"open.read and (open.write or not open.execute)", "open.read and (open.write or not open.execute)"},
		{"open.read and (open.write and open.execute)", "open.read and open.write and open.execute"},
		{"not (open.read or open.write)", "not (open.read or open.write)"},
		{`if open.write then open.path under "/data"`, `not open.write or open.path under "/data"`},
		{"connect.port == 443 => bytes_sent <= 1MiB => opens == 0", "connect.port != 443 or not bytes_sent <= 1MiB or opens == 0"},
		{"if opens == 1 then if connects == 1 then denied == 0", "opens != 1 or connects != 1 or denied == 0"},
		{"(\nopens\n<=\n1\n)", "opens <= 1"},
	} {
		got := strings.TrimSuffix(parse(t, c.source).String(), "\n")
		if got != c.want {
			t.Errorf("%q is %q, want %q", c.source, got, c.want)
		}
		if again := strings.TrimSuffix(parse(t, got).String(), "\n"); again != got {
			t.Errorf("%q is %q when it is read again", got, again)
		}
	}
}

// TestErrors: places and hints.
func TestErrors(t *testing.T) {
	long := strings.Repeat("/a", 128)
	for _, c := range []struct{ source, want string }{
		{"opns <= 100", "1:1: there is no field opns; opens is near"},
		{"100 >= opens", "1:1: 100 is no field; the field comes first, as in opens <= 100"},
		{"opens = 1", "1:7: '=' means nothing here; equality is =="},
		{"opens == 1 && connects == 1", "1:12: '&' means nothing here; there are and, or and not"},
		{"opens", "1:1: opens is a count and is compared with something, by == != < <= > >= in"},
		{"opens ==", "1:9: the end stands where a value is expected"},
		{"opens ==\nconnects <= 1", "1:9: the end of the line stands where a value is expected"},
		{"opens <= 1MiB", "1:10: 1MiB has a unit; a count has none"},
		{"opens <= \"1\"", "1:10: opens is a count and not a string"},
		{"opens <= many", "1:10: many is no number; opens is a count"},
		{"opens <= 1 connects <= 1", "1:12: connects stands where and, or, => or the end of the assertion is expected"},
		{"bytes_sent <= 1Mib", "1:15: there is no unit Mib; MiB is near; a size has GiB, MiB, KiB, B"},
		{"bytes_sent <= 99999999999GiB", "1:15: 99999999999GiB is too large; a size is 18446744073709551615 at most"},
		{"bytes_sent <= 99999999999999999999999", "1:15: 99999999999999999999999 is too large"},
		{"cpu <= 50", "1:8: 50 has no unit; times have h, min, s, ms, us, ns"},
		{"cpu <= 1.5s", "1:8: 1.5s is no number; cpu is a time"},
		{"connect.port <= 65536", "1:17: 65536 is too large; a port is 65535 at most"},
		{"connect.port <= 65535", "1:1: this always holds, whatever connect.port is"},
		{"opens >= 0", "1:1: this always holds, whatever opens is"},
		{"opens < 0", "1:1: opens < 0 never holds"},
		{"opens > 18446744073709551615", "1:1: opens > 18446744073709551615 never holds"},
		{"connect.port in {80..79}", "1:18: the range 80..79 is empty"},
		{"connect.port in 443", "1:17: 443 stands where { is expected"},
		{"connect.port in {443", "1:21: the end stands where , or } is expected"},
		{"connect.port in {}", "1:18: } stands where a value is expected"},
		{"connect.port not 443", "1:18: 443 stands where in or under is expected"},
		{"connect.protocol == tpc", "1:21: there is no protocol tpc; there are tcp, udp"},
		{"connect.protocol < tcp", "1:1: connect.protocol is a protocol; there is no < for it, but == != in"},
		{"connect.protocol in {tcp..udp}", "1:22: a protocol has no ranges"},
		{"connect.address == 10.0.0.0/8", "1:20: 10.0.0.0/8 is a prefix; write in {10.0.0.0/8}"},
		{"connect.address in {10.0.0.1/8}", "1:21: 10.0.0.1/8 has bits beyond its length; 10.0.0.0/8 is meant, or a longer one"},
		{"connect.address < 10.0.0.2", "1:1: connect.address is an address; there is no < for it, but == != in"},
		{"connect.address == 10.0.0.256", "1:20: 10.0.0.256 is no address"},
		{"connect.address == ::ffff:10.0.0.1", "1:20: ::ffff:10.0.0.1 is IPv4 inside IPv6; write 10.0.0.1"},
		{"connect.address in {10.0.0.1..10.0.0.9}", "1:21: an address has no ranges; write a prefix, as 10.0.0.0/8"},
		{"open.path under /data", `1:17: '/' means nothing here; a path is in quotes, as "/data"`},
		{"open.path under data", `1:17: a path is in quotes, as "/data"`},
		{`open.path under "data"`, `1:17: path "data" is not absolute`},
		{`open.path under "/data/"`, `1:17: path "/data/" ends in a slash`},
		{`open.path under "/"`, `1:17: every path is under /`},
		{`open.path == "/a\x00"`, `1:14: path "/a\x00" has a zero byte`},
		{`open.path == "` + long + `"`, `1:14: path "/a/a/a/a/a/a/a/a/a/a"… has 256 bytes; 254 are allowed`},
		{`open.path == "/a`, `1:14: the string does not end on this line`},
		{"open.write == 1", "1:1: open.write is a flag and stands alone; its opposite is not open.write"},
		{"open.write and connect.port == 1", "1:16: connect.port is never known together with open.write; write two assertions"},
		{"if open.write", "1:14: the end stands where then is expected"},
		{"(opens == 1", "1:12: the end stands where ) is expected"},
		{"and", "1:1: and stands where a field is expected"},
		{"ä == 1", "1:1: 'ä' means nothing here"},
		{`"` + strings.Repeat("ä", 40) + `" == 1`, `1:1: "` + strings.Repeat("ä", 39) + "… stands where a field is expected"},
		{"opens == 1 # ä\n  x", "2:3: there is no field x"},
		{"opens == \xff", "1:10: the contract is not UTF-8"},
		{strings.Repeat("(", 1000) + "opens == 1", "nested too deeply"},
		{strings.Repeat("not ", 1000) + "opens == 1", "nested too deeply"},
		{nested(MaxDepth), "nested too deeply; 32 levels are possible"},
		{strings.Repeat("x", MaxSource+1), "1:1: the contract has 16385 bytes; 16384 are possible"},
		{strings.Repeat("opens==1;", MaxAssertions+1), "1:1153: this is assertion 129; 128 are possible"},
		{"connect.port in {" + strings.Repeat("1,", MaxSet+1) + "}", "1:530: a set has 256 elements at most"},
	} {
		_, err := Parse(c.source)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %s", c.source, err, c.want)
		}
		if list := (Errors)(nil); !errors.As(err, &list) || len(list) != 1 {
			t.Errorf("%.60q: %d errors, want 1: %v", c.source, len(list), err)
		}
	}
}

// nested has one level more than n.
func nested(n int) string {
	s := "opens == 1"
	for i := range n {
		s = fmt.Sprintf("(opens == %d %s %s)", i+2, []string{"and", "or"}[i%2], s)
	}
	return s
}

func TestDepth(t *testing.T) {
	c := parse(t, nested(MaxDepth-1))
	if again := parse(t, c.String()); again.String() != c.String() {
		t.Error("it is another when it is read again")
	}
}

// TestAllErrors: each assertion with a fault is reported, up to a bound.
func TestAllErrors(t *testing.T) {
	_, err := Parse("opns <= 1\nopens <= 1\ncpu <=\nconnect.port in {1,\n2\nopens == 1\nbytes_sent <= 1kb; opens")
	want := `contract:1:1: there is no field opns; opens is near
contract:3:7: the end of the line stands where a value is expected
contract:6:1: opens stands where , or } is expected
contract:7:15: there is no unit kb; KiB is near; a size has GiB, MiB, KiB, B
contract:7:20: opens is a count and is compared with something, by == != < <= > >= in`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
	_, err = Parse(strings.Repeat("x\n", 50))
	if list := (Errors)(nil); !errors.As(err, &list) || len(list) != MaxErrors {
		t.Errorf("%d errors", len(list))
	}
	if one := (*Error)(nil); !errors.As(err, &one) || one.Position != (Position{1, 1}) {
		t.Errorf("the first is %v", one)
	}
}

// TestConcerns: at which hooks contracts are judged.
func TestConcerns(t *testing.T) {
	for source, want := range map[string][]Hook{
		"":                                     nil,
		"opens == 1":                           {Open},
		"connects == 1":                        {Connect, Send},
		"bytes_sent == 1":                      {Send},
		"children == 1":                        {Fork},
		"cpu == 1s":                            {Open, Connect, Send, Fork},
		"denied == 1":                          {Open, Connect, Send, Fork},
		"bytes_received == 1":                  {Open, Connect, Send, Fork},
		"opens == 1 or children == 1":          {Open, Fork},
		"open.write or bytes_sent == 1":        {Open},
		"connect.port == 1 or bytes_sent == 1": {Connect, Send},
	} {
		var got []Hook
		for h := Open; h <= Fork; h++ {
			if parse(t, source).Concerns(h) {
				got = append(got, h)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", source, diff)
		}
	}
}

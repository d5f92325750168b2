package contract

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func peer(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// judgements are events and what a contract says of them; "" permits, else the place.
var judgements = []struct {
	source string
	event  Event
	want   string
}{
	{"", Event{Hook: Fork}, ""},
	{"", Event{}, "0:0"},
	{"opens <= 100", OpenEvent("/a", Read, Counters{Opens: 100}), ""},
	{"opens <= 100", OpenEvent("/a", Read, Counters{Opens: 101}), "1:1"},
	{"opens <= 100", OpenEvent("", Read, Counters{Opens: 100}), ""},
	{"opens <= 100", PeerEvent(Connect, peer("1.2.3.4:5"), tcp, Counters{Opens: 101}), ""},
	{"opens < 100", OpenEvent("/a", Read, Counters{Opens: 99}), ""},
	{"opens < 100", OpenEvent("/a", Read, Counters{Opens: 100}), "1:1"},
	{"opens > 1", OpenEvent("/a", Read, Counters{Opens: 1}), "1:1"},
	{"opens > 1", OpenEvent("/a", Read, Counters{Opens: 2}), ""},
	{"opens >= 1", OpenEvent("/a", Read, Counters{Opens: 0}), "1:1"},
	{"opens != 3", OpenEvent("/a", Read, Counters{Opens: 3}), "1:1"},
	{"opens == 3", OpenEvent("/a", Read, Counters{Opens: 3}), ""},
	{"opens in {1..3, 5}", OpenEvent("/a", Read, Counters{Opens: 4}), "1:1"},
	{"opens in {1..3, 5}", OpenEvent("/a", Read, Counters{Opens: 2}), ""},
	{"opens not in {1..3, 5}", OpenEvent("/a", Read, Counters{Opens: 5}), "1:1"},
	{"opens <= 1\n  connects <= 1; bytes_sent <= 1", PeerEvent(Send, peer("1.2.3.4:5"), tcp, Counters{Opens: 9, Connects: 1, BytesSent: 2}), "2:18"},
	{"bytes_sent <= 4GiB", Event{Hook: Send, Counters: Counters{BytesSent: 4 << 30}}, ""},
	{"bytes_sent <= 4GiB", Event{Hook: Send, Counters: Counters{BytesSent: 4<<30 + 1}}, "1:1"},
	{"bytes_sent == 4GiB", Event{Hook: Send, Counters: Counters{BytesSent: 0}}, "1:1"},
	{"bytes_sent <= 18446744073709551614", Event{Hook: Send, Counters: Counters{BytesSent: 1<<64 - 1}}, "1:1"},
	{"cpu < 1s", Event{Hook: Fork, Counters: Counters{CPU: 1e9 - 1}}, ""},
	{"cpu < 1s", Event{Hook: Fork, Counters: Counters{CPU: 1e9}}, "1:1"},
	{"children <= 2", Event{Hook: Fork, Counters: Counters{Children: 3}}, "1:1"},
	{"denied == 0", Event{Hook: Fork, Counters: Counters{Denied: 1}}, "1:1"},
	{"connects <= 1", PeerEvent(Connect, peer("[::1]:5"), tcp, Counters{Connects: 2}), "1:1"},
	{"connects <= 1", PeerEvent(Send, peer("[::1]:5"), tcp, Counters{Connects: 2}), "1:1"},
	{"connects <= 1", Event{Hook: Send, Counters: Counters{Connects: 2}}, ""},
	{"connects <= 1", Event{Hook: Connect, Counters: Counters{Connects: 1}}, "0:0"},
	{"connect.port in {443, 8443}", PeerEvent(Connect, peer("1.2.3.4:443"), tcp, Counters{}), ""},
	{"connect.port in {443, 8443}", PeerEvent(Connect, peer("1.2.3.4:444"), tcp, Counters{}), "1:1"},
	{"connect.port in {443, 8443}", PeerEvent(Send, peer("1.2.3.4:444"), udp, Counters{}), "1:1"},
	{"connect.port in {443, 8443}", PeerEvent(Send, netip.AddrPort{}, udp, Counters{}), ""},
	{"connect.port in {443, 8443}", OpenEvent("/a", Read, Counters{}), ""},
	{"connect.protocol == tcp", PeerEvent(Connect, peer("1.2.3.4:443"), udp, Counters{}), "1:1"},
	{"connect.family == ipv6", PeerEvent(Connect, peer("1.2.3.4:443"), udp, Counters{}), "1:1"},
	{"connect.family == ipv4", PeerEvent(Connect, peer("[::ffff:1.2.3.4]:443"), udp, Counters{}), ""},
	{"connect.address in {10.0.0.0/8, 192.168.1.1}", PeerEvent(Connect, peer("10.255.0.1:1"), tcp, Counters{}), ""},
	{"connect.address in {10.0.0.0/8, 192.168.1.1}", PeerEvent(Connect, peer("[::ffff:10.255.0.1]:1"), tcp, Counters{}), ""},
	{"connect.address in {10.0.0.0/8, 192.168.1.1}", PeerEvent(Connect, peer("192.168.1.1:1"), tcp, Counters{}), ""},
	{"connect.address in {10.0.0.0/8, 192.168.1.1}", PeerEvent(Connect, peer("192.168.1.2:1"), tcp, Counters{}), "1:1"},
	{"connect.address in {10.0.0.0/8}", PeerEvent(Connect, peer("[::a00:1]:1"), tcp, Counters{}), "1:1"},
	{"connect.address in {::/0}", PeerEvent(Connect, peer("[::ffff:10.255.0.1]:1"), tcp, Counters{}), "1:1"},
	{"connect.address in {::/0}", PeerEvent(Connect, peer("[fd00::1]:1"), tcp, Counters{}), ""},
	{"connect.address in {0.0.0.0/0}", PeerEvent(Connect, peer("[fd00::1]:1"), tcp, Counters{}), "1:1"},
	{"connect.address in {0.0.0.0/0, ::/0}", PeerEvent(Connect, peer("[fd00::1]:1"), tcp, Counters{}), ""},
	{"connect.address in {fd00::/9, ::1}", PeerEvent(Connect, peer("[fd7f::1]:1"), tcp, Counters{}), ""},
	{"connect.address in {fd00::/9, ::1}", PeerEvent(Connect, peer("[fd80::1]:1"), tcp, Counters{}), "1:1"},
	{"connect.address in {fd00::/9, ::1}", PeerEvent(Connect, peer("[::1]:1"), tcp, Counters{}), ""},
	{"connect.address in {2001:db8::/65}", PeerEvent(Connect, peer("[2001:db8::7fff:0:0:1]:1"), tcp, Counters{}), ""},
	{"connect.address in {2001:db8::/65}", PeerEvent(Connect, peer("[2001:db8::8000:0:0:1]:1"), tcp, Counters{}), "1:1"},
	{"connect.address == ::1", PeerEvent(Connect, peer("[::2]:1"), tcp, Counters{}), "1:1"},
	{"connect.address != 127.0.0.1", PeerEvent(Connect, peer("127.0.0.1:1"), tcp, Counters{}), "1:1"},
	{"if connect.port == 443 then bytes_sent <= 1MiB", PeerEvent(Send, peer("127.0.0.1:443"), tcp, Counters{BytesSent: 1<<20 + 1}), "1:1"},
	{"if connect.port == 443 then bytes_sent <= 1MiB", PeerEvent(Send, peer("127.0.0.1:80"), tcp, Counters{BytesSent: 1<<20 + 1}), ""},
	{`open.path under "/data"`, OpenEvent("/data", Read, Counters{}), ""},
	{`open.path under "/data"`, OpenEvent("/data/x", Read, Counters{}), ""},
	{`open.path under "/data"`, OpenEvent("/database", Read, Counters{}), "1:1"},
	{`open.path under "/data"`, OpenEvent("/dat", Read, Counters{}), "1:1"},
	{`open.path under "/data"`, OpenEvent("", Read, Counters{}), "0:0"},
	{`open.path not under "/data"`, OpenEvent("pipe:[1]", Read, Counters{}), "0:0"},
	{`open.path not under "/data"`, OpenEvent("/etc/x", Read, Counters{}), ""},
	{`open.path not under {"/data/of/somebody", "/etc"}`, OpenEvent("/data/of/somebody/else", Read, Counters{}), "1:1"},
	{`open.path == "/etc/hosts"`, OpenEvent("/etc/hosts", Read, Counters{}), ""},
	{`open.path == "/etc/hosts"`, OpenEvent("/etc/hosts2", Read, Counters{}), "1:1"},
	{`open.path == "/etc/hosts"`, OpenEvent("/etc/host", Read, Counters{}), "1:1"},
	{`open.path == "/"`, OpenEvent("/", Read, Counters{}), ""},
	{`open.path under "` + strings.Repeat("/a", 127) + `"`, OpenEvent(strings.Repeat("/a", 200), Read, Counters{}), ""},
	{`open.path == "` + strings.Repeat("/a", 127) + `"`, OpenEvent(strings.Repeat("/a", 200), Read, Counters{}), "1:1"},
	{`open.path == "` + strings.Repeat("/a", 127) + `"`, OpenEvent(strings.Repeat("/a", 127), Read, Counters{}), ""},
	{"open.read", OpenEvent("/a", Read|Write, Counters{}), ""},
	{"not open.execute", OpenEvent("/a", Execute, Counters{}), "1:1"},
	{`if open.write then open.path under "/tmp"`, OpenEvent("/tmp/a", Write, Counters{}), ""},
	{`if open.write then open.path under "/tmp"`, OpenEvent("/a", Write, Counters{}), "1:1"},
	{`if open.write then open.path under "/tmp"`, OpenEvent("/a", Read, Counters{}), ""},
	{"open.read and (open.write or opens == 1)", OpenEvent("/a", Read, Counters{Opens: 1}), ""},
	{"open.read and (open.write or opens == 1)", OpenEvent("/a", Read, Counters{Opens: 2}), "1:1"},
	{"not (open.read and open.write)", OpenEvent("/a", Read|Write, Counters{}), "1:1"},
	{"not (open.read or open.write)", OpenEvent("/a", Execute, Counters{}), ""},
}

func place(r *Refusal) string {
	if r == nil {
		return ""
	}
	return r.Position.String()
}

// TestJudge: in Go.
func TestJudge(t *testing.T) {
	for _, c := range judgements {
		if got := parse(t, c.source).Judge(&c.event); place(got) != c.want {
			t.Errorf("%s\nwith %+v: %v, want %q", c.source, c.event, got, c.want)
		}
	}
}

// TestPrograms: in the kernel.
func TestPrograms(t *testing.T) {
	b := newBench(t, 1)
	for _, c := range judgements {
		p := load(t, parse(t, c.source), max(Open, c.event.Hook), b.target)
		c.event.Line, c.event.Column = 0, 0
		b.put(t, 0, c.event)
		got := ""
		if !permits(t, p, 0) {
			after := b.get(t, 0)
			got = fmt.Sprintf("%d:%d", after.Line, after.Column)
		}
		if got != c.want {
			t.Errorf("%s\nwith %+v: %q, want %q", c.source, c.event, got, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		source string
		event  Event
		want   string
	}{
		{"opens <= 1", OpenEvent("/a", Read, Counters{Opens: 2}), "1:1: opens <= 1 does not hold: opens is 2"},
		{"if connect.port == 443 then connect.address in {10.0.0.0/8}", PeerEvent(Connect, peer("1.2.3.4:443"), tcp, Counters{}),
			"1:1: connect.port != 443 or connect.address in {10.0.0.0/8} does not hold: connect.port is 443, connect.address is 1.2.3.4"},
		{"connect.protocol == tcp", PeerEvent(Connect, peer("[::1]:443"), 132, Counters{}), "1:1: connect.protocol == tcp does not hold: connect.protocol is 132"},
		{"cpu < 1s and bytes_sent < 1MiB", Event{Hook: Send, Counters: Counters{CPU: 90e9, BytesSent: 5 << 10}}, "1:1: cpu < 1s and bytes_sent < 1MiB does not hold: cpu is 90s, bytes_sent is 5KiB"},
		{`open.path under "/a" or open.read`, OpenEvent("/b\n", Write, Counters{}), `1:1: open.path under "/a" or open.read does not hold: open.path is "/b\n", open.read is false`},
		{"opens == 1", Event{Hook: Connect}, "the connection has no address"},
		{"opens == 1", Event{Hook: 9}, "the event is of no hook"},
		{`open.path == "/a"`, OpenEvent("pipe:[1]", Read, Counters{}), "what is opened has no path"},
	} {
		if got := parse(t, c.source).Judge(&c.event); got == nil || got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.source, got, c.want)
		}
	}
}

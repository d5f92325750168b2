package contract

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Values for contracts and events come from the same small lists, so that they often meet
// and often miss each other by one.
var (
	someNumbers   = []uint64{0, 1, 2, 3, 5, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1, 1 << 32, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 2, 1<<64 - 1}
	somePorts     = []uint16{0, 1, 79, 80, 81, 443, 444, 32767, 32768, 65534, 65535}
	someAddresses = []string{"0.0.0.0", "10.0.0.0", "10.0.0.1", "10.128.0.1", "11.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1", "::a00:1", "fd00::1", "fd00::8000:0:0:1", "fd00:0:0:1::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
	somePaths     = []string{"/", "/a", "/a/b", "/ab", "/data", "/data/x", "/database", "/data/xyzzy/1234567", "/data/xyzzy/12345678", "/data/xyzzy/12345678/9", strings.Repeat("/long", 50), strings.Repeat("/long", 50) + "/x", strings.Repeat("/long", 51)}
)

// drawing makes random contracts, as text.
type drawing struct{ t *rapid.T }

func (d drawing) pick(list ...string) string { return rapid.SampledFrom(list).Draw(d.t, "pick") }

func (d drawing) set(element func() string) string {
	n := rapid.IntRange(1, 5).Draw(d.t, "size")
	var list []string
	for range n {
		list = append(list, element())
	}
	return "{" + strings.Join(list, ", ") + "}"
}

// condition is of counters, and of what events named by prefix have.
func (d drawing) condition(prefix string, depth int) string {
	kind := rapid.IntRange(0, 7).Draw(d.t, "kind")
	if depth == 0 || kind < 3 {
		return d.comparison(prefix)
	}
	sub := func() string { return d.condition(prefix, depth-1) }
	switch kind {
	case 3:
		return "not (" + sub() + ")"
	case 4:
		return "(" + sub() + ") and (" + sub() + ")"
	case 5:
		return "(" + sub() + ") or " + sub()
	case 6:
		return "if " + sub() + " then " + sub()
	default:
		return "(" + sub() + " => " + sub() + ") or (" + sub() + ") and " + d.comparison(prefix)
	}
}

func (d drawing) comparison(prefix string) string {
	f := rapid.SampledFrom(fields).Filter(func(f *field) bool {
		return f.hook == 0 || strings.HasPrefix(f.name, prefix)
	}).Draw(d.t, "field")
	in := f.name + d.pick(" in ", " not in ")
	switch f.kind {
	case kindFlag:
		return f.name
	case kindAddress:
		if d.pick("one", "set") == "one" {
			return f.name + d.pick(" == ", " != ") + d.pick(someAddresses...)
		}
		return in + d.set(d.prefix)
	case kindPath:
		return f.name + d.pick(" in ", " not in ", " under ", " not under ") + d.set(func() string {
			return quote(rapid.SampledFrom(somePaths).Filter(func(s string) bool { return len(s) <= 254 && s != "/" }).Draw(d.t, "path"))
		})
	case kindProtocol:
		return f.name + d.pick(" == ", " != ") + d.pick("tcp", "udp")
	case kindFamily:
		return f.name + d.pick(" == ", " != ") + d.pick("ipv4", "ipv6")
	}
	if d.pick("one", "set") == "one" {
		return f.name + d.pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + d.number(f.kind)
	}
	return in + d.set(func() string { return d.number(f.kind) })
}

func (d drawing) number(k kind) string {
	if k == kindPort {
		return fmt.Sprint(rapid.SampledFrom(somePorts).Draw(d.t, "port"))
	}
	return numberText(k, rapid.SampledFrom(someNumbers).Draw(d.t, "number"))
}

func (d drawing) prefix() string {
	a := netip.MustParseAddr(d.pick(someAddresses...))
	return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(d.t, "bits")).Masked().String()
}

func (d drawing) event(h Hook) Event {
	number := func() uint64 { return rapid.SampledFrom(someNumbers).Draw(d.t, "counter") }
	after := Counters{number(), number(), number(), number(), time.Duration(number()), number(), number()}
	if h == Open {
		path := rapid.SampledFrom(append(somePaths, "", "pipe:[1]")).Draw(d.t, "path")
		return OpenEvent(path, Access(rapid.IntRange(0, 7).Draw(d.t, "access")), after)
	}
	e := Event{Hook: h, Counters: after}
	if rapid.IntRange(0, 9).Draw(d.t, "peer") > 0 && (h == Connect || h == Send) {
		a := netip.MustParseAddr(d.pick(someAddresses...))
		e = PeerEvent(h, netip.AddrPortFrom(a, rapid.SampledFrom(somePorts).Draw(d.t, "port")), rapid.SampledFrom([]uint16{tcp, udp, 1}).Draw(d.t, "protocol"), after)
	}
	if rapid.IntRange(0, 30).Draw(d.t, "wrong") == 0 {
		e.Hook = Hook(rapid.IntRange(0, 5).Draw(d.t, "hook"))
	}
	return e
}

// TestSameVerdicts: for random contracts and events, the program in the kernel and the one
// in Go come to the same verdict for the same assertion.
func TestSameVerdicts(t *testing.T) {
	b := newBench(t, 1)
	load(t, parse(t, "opens == 1"), Open, b.target) // or skip
	runs, refusals := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		d := drawing{r}
		var source strings.Builder
		for range rapid.IntRange(1, 4).Draw(r, "assertions") {
			line := d.condition(d.pick("open.", "connect."), 3)
			if _, err := Parse(line); err == nil { // else it always holds, or never
				source.WriteString(line + "\n")
			}
		}
		c, err := Parse(source.String())
		if err != nil {
			r.Fatalf("%v\nin\n%s", err, &source)
		}
		for h := Open; h <= Fork; h++ {
			p, err := c.Load(h, b.target)
			if err != nil {
				r.Fatalf("%v\nin\n%s", err, &source)
			}
			for range 16 {
				e := d.event(h)
				b.put(t, 0, e)
				want := c.Judge(&e)
				if e.Hook != h {
					want = &Refusal{}
				}
				got := permits(t, p, 0)
				after := b.get(t, 0)
				if runs++; want != nil {
					refusals++
				}
				if got != (want == nil) || want != nil && want.Position != (Position{int(after.Line), int(after.Column)}) {
					_ = p.Close()
					r.Fatalf("the kernel permits: %t, at %d:%d; Go says %v\nof %+v\nin\n%s", got, after.Line, after.Column, want, e, &source)
				}
			}
			_ = p.Close()
		}
	})
	t.Logf("%d events, %d of them refused", runs, refusals)
	if !t.Failed() && (refusals < runs/10 || refusals > runs*19/20) {
		t.Errorf("of %d events %d were refused: they say little", runs, refusals)
	}
}

package contract

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// ordinary is a contract of the length that people write.
const ordinary = `bytes_sent <= 1MiB
opens <= 100
connect.port in {443, 8443}
cpu < 50ms
connect.address in {10.0.0.0/8, 192.168.0.0/16, fd00::/8}
if open.write then open.path under "/data"
`

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(ordinary); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompile makes the programs of all hooks, from text.
func BenchmarkCompile(b *testing.B) {
	target := newBench(b, 1).target
	b.ReportAllocs()
	for b.Loop() {
		c := parse(b, ordinary)
		for h := Open; h <= Fork; h++ {
			if _, err := c.compile(h, target); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkLoad compiles, verifies and translates the program of one hook.
func BenchmarkLoad(b *testing.B) {
	target := newBench(b, 1).target
	c := parse(b, ordinary)
	load(b, c, Connect, target) // or skip
	for b.Loop() {
		p, err := c.Load(Connect, target)
		if err != nil {
			b.Fatal(err)
		}
		_ = p.Close()
	}
}

func BenchmarkJudge(b *testing.B) {
	c, e := parse(b, ordinary), PeerEvent(Connect, peer("[fd00::1]:8443"), tcp, Counters{})
	for b.Loop() {
		if r := c.Judge(&e); r != nil {
			b.Fatal(r)
		}
	}
}

// BenchmarkEvent is one event in the kernel, without the hook: its own measure of time.
func BenchmarkEvent(b *testing.B) {
	for name, c := range map[string]struct {
		source string
		event  Event
	}{
		"nothing": {"", PeerEvent(Connect, peer("[fd00::1]:8443"), tcp, Counters{})},
		"connect": {ordinary, PeerEvent(Connect, peer("[fd00::1]:8443"), tcp, Counters{})},
		"open":    {ordinary, OpenEvent("/data/x", Write, Counters{})},
	} {
		b.Run(name, func(b *testing.B) {
			bench := newBench(b, 1)
			p := load(b, parse(b, c.source), c.event.Hook, bench.target)
			bench.put(b, 0, c.event)
			verdict, each, err := p.Benchmark(make([]byte, 64), 1_000_000, b.ResetTimer)
			if err != nil || verdict != 1 {
				b.Fatal(verdict, err)
			}
			b.ReportMetric(float64(each.Nanoseconds()), "ns/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkConnect connects a UDP socket: as it is, with a hook and a contract that says
// nothing, and with one of seven assertions, four of them judged.
func BenchmarkConnect(b *testing.B) {
	h := connectHook(b)
	program := load(b, parse(b, strings.Replace(ordinary, "connect.address in {", "connect.address in {127.0.0.0/8, ", 1)+"connects < 1000000000"), h.hook, h.target)
	permit := load(b, parse(b, ""), h.hook, h.target)
	group := inGroup(b)
	attach := func(p *ebpf.Program) (link.Link, error) {
		return link.AttachCgroup(link.CgroupOptions{Path: group, Attach: ebpf.AttachCGroupInet4Connect, Program: p})
	}
	run := func(b *testing.B) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		for b.Loop() {
			if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 8443}); err != nil {
				return err
			}
		}
		return nil
	}
	b.Run("free", func(b *testing.B) {
		if err := run(b); err != nil {
			b.Error(err)
		}
	})
	for name, p := range map[string]*ebpf.Program{"empty": permit, "contract": program} {
		b.Run(name, func(b *testing.B) {
			if err := h.slot.Put(uint32(0), p); err != nil {
				b.Fatal(err)
			}
			h.attached(b, attach, func() error { return run(b) })
		})
	}
}

package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

func permit(prefix string, ports ...policy.PortRange) policy.NetRule {
	return policy.NetRule{Prefix: netip.MustParsePrefix(prefix), Ports: ports}
}

// to makes a socket and does something with it.
func to(family, kind int, do func(fd int) error) error {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return do(fd)
}

func connect(sa unix.Sockaddr) func(int) error {
	return func(fd int) error { return unix.Connect(fd, sa) }
}

func TestNetwork(t *testing.T) { each(t, testNetwork) }

func testNetwork(t *testing.T, g *Guard) {
	open := listener(t, "tcp4", "127.0.0.1:0")
	closed := listener(t, "tcp4", "127.0.0.1:0")
	other := listener(t, "tcp4", "127.0.0.9:0")
	six := listener(t, "tcp6", "[::1]:0")
	name := "@pyisolate-guard-" + strconv.Itoa(os.Getpid())
	listener(t, "unix", name)
	port := policy.PortRange{First: uint16(open), Last: uint16(open)}
	p := own()
	p.Net = []policy.NetRule{
		permit("127.0.0.0/29", port), {Prefix: netip.MustParsePrefix("127.0.0.2/32"), Deny: true},
		permit("::1/128", policy.PortRange{First: uint16(six), Last: uint16(six)}),
	}
	v4 := func(last byte, port int) unix.Sockaddr {
		return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, last}}
	}
	v6 := func(port int) unix.Sockaddr { return &unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}} }
	inside := func(last byte, port int) unix.Sockaddr {
		return &unix.SockaddrInet6{Port: port, Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: last}}
	}
	tcp, udp := unix.SOCK_STREAM, unix.SOCK_DGRAM
	c := newCell(t, g, p)
	// sockets are those that only the LSM judges.
	sockets := []string{"listen", "netlink", "packets", "abstract socket", "SCTP", "multipath TCP", "UDP-Lite", "echoes"}
	made := func(family, kind, protocol int) func() error {
		return func() error {
			fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}
	}
	for what, k := range map[string]struct {
		do      func() error
		allowed bool
	}{
		"the port":                    {func() error { return to(unix.AF_INET, tcp, connect(v4(1, open))) }, true},
		"another port":                {func() error { return to(unix.AF_INET, tcp, connect(v4(1, closed))) }, false},
		"beyond the prefix":           {func() error { return to(unix.AF_INET, tcp, connect(v4(9, other))) }, false},
		"a longer prefix that denies": {func() error { return to(unix.AF_INET, tcp, connect(v4(2, open))) }, false},
		"IPv6":                        {func() error { return to(unix.AF_INET6, tcp, connect(v6(six))) }, true},
		"IPv6, another port":          {func() error { return to(unix.AF_INET6, tcp, connect(v6(open))) }, false},
		"IPv4 inside IPv6":            {func() error { return to(unix.AF_INET6, tcp, connect(inside(1, open))) }, true},
		"inside, beyond the prefix":   {func() error { return to(unix.AF_INET6, tcp, connect(inside(9, other))) }, false},
		"inside, another port":        {func() error { return to(unix.AF_INET6, tcp, connect(inside(1, closed))) }, false},
		"UDP":                         {func() error { return to(unix.AF_INET, udp, connect(v4(1, open))) }, true},
		"UDP, beyond":                 {func() error { return to(unix.AF_INET, udp, connect(v4(9, 9))) }, false},
		"UDP, sent at once": {func() error {
			return to(unix.AF_INET, udp, func(fd int) error { return unix.Sendto(fd, []byte("x"), 0, v4(9, 9)) })
		}, false},
		"UDP, connected, sent elsewhere": {func() error {
			return to(unix.AF_INET, udp, func(fd int) error {
				if err := unix.Connect(fd, v4(1, open)); err != nil {
					return errors.New("connect: " + err.Error()) // is no denial that counts
				}
				return unix.Sendto(fd, []byte("x"), 0, v4(9, 9))
			})
		}, false},
		"UDP, inside, sent at once": {func() error {
			return to(unix.AF_INET6, udp, func(fd int) error { return unix.Sendto(fd, []byte("x"), 0, inside(9, 9)) })
		}, false},
		"UDP, inside, sent": {func() error {
			return to(unix.AF_INET6, udp, func(fd int) error { return unix.Sendto(fd, []byte("x"), 0, inside(1, open)) })
		}, true},
		"UDP, disconnected": {func() error {
			return to(unix.AF_INET, udp, func(fd int) error {
				_, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&unix.RawSockaddr{})), unix.SizeofSockaddrInet4)
				if e != 0 {
					return e
				}
				return nil
			})
		}, true},
		"TCP fast open": {func() error {
			return to(unix.AF_INET, tcp, func(fd int) error { return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, v4(9, other)) })
		}, false},
		"bind":            {func() error { return to(unix.AF_INET, tcp, func(fd int) error { return unix.Bind(fd, v4(1, 0)) }) }, false},
		"listen":          {func() error { return to(unix.AF_INET, tcp, func(fd int) error { return unix.Listen(fd, 1) }) }, false},
		"raw":             {func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP); return err }, false},
		"TCP by number":   {made(unix.AF_INET, tcp, unix.IPPROTO_TCP), true},
		"UDP by number":   {made(unix.AF_INET6, udp, unix.IPPROTO_UDP), true},
		"SCTP":            {made(unix.AF_INET, tcp, unix.IPPROTO_SCTP), false},
		"multipath TCP":   {made(unix.AF_INET6, tcp, unix.IPPROTO_MPTCP), false},
		"UDP-Lite":        {made(unix.AF_INET, udp, unix.IPPROTO_UDPLITE), false},
		"echoes":          {made(unix.AF_INET, udp, unix.IPPROTO_ICMP), false},
		"netlink":         {func() error { return to(unix.AF_NETLINK, unix.SOCK_DGRAM, func(int) error { return nil }) }, false},
		"packets":         {func() error { return to(unix.AF_PACKET, unix.SOCK_DGRAM, func(int) error { return nil }) }, false},
		"abstract socket": {func() error { return to(unix.AF_UNIX, tcp, connect(&unix.SockaddrUnix{Name: name})) }, false},
		"a pair": {func() error {
			pair, err := unix.Socketpair(unix.AF_UNIX, tcp|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
			_, err = unix.Write(pair[0], []byte("x"))
			return err
		}, true},
	} {
		if slices.Contains(sockets, what) && !g.Judges(Sockets) {
			continue
		}
		on(t, c, func() error {
			err := k.do()
			if !k.allowed {
				return denied(what, err)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	if u := c.Usage(); u.Connects < 4 {
		t.Errorf("%+v", u)
	}
}

// TestUnspecified: what no deny is about, as the kernel takes it for loopback or for the
// socket's own address, is not permitted by a rule for everything.
func TestUnspecified(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		port, six := listener(t, "tcp4", "127.0.0.1:0"), listener(t, "tcp6", "[::1]:0")
		p := own()
		p.Net = []policy.NetRule{permit("0.0.0.0/0"), permit("::/0"), permit("127.0.0.2/32")}
		for _, loopback := range []string{"127.0.0.0/8", "::1/128"} {
			p.Net = append(p.Net, policy.NetRule{Prefix: netip.MustParsePrefix(loopback), Deny: true})
		}
		c := newCell(t, g, p)
		tcp, udp := unix.SOCK_STREAM, unix.SOCK_DGRAM
		send := func(sa unix.Sockaddr) func(int) error {
			return func(fd int) error { return unix.Sendto(fd, []byte("x"), 0, sa) }
		}
		after := func(first, then unix.Sockaddr) func(int) error {
			return func(fd int) error {
				if err := unix.Connect(fd, first); err != nil {
					return errors.New("connect: " + err.Error()) // is no denial that counts
				}
				return unix.Sendto(fd, []byte("x"), 0, then)
			}
		}
		v4 := &unix.SockaddrInet4{Port: port}
		v6 := &unix.SockaddrInet6{Port: six}
		inside := &unix.SockaddrInet6{Port: port, Addr: [16]byte{10: 0xff, 11: 0xff}}
		second := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 2}}
		for what, do := range map[string]func() error{
			"0.0.0.0":              func() error { return to(unix.AF_INET, tcp, connect(v4)) },
			"::":                   func() error { return to(unix.AF_INET6, tcp, connect(v6)) },
			"::ffff:0.0.0.0":       func() error { return to(unix.AF_INET6, tcp, connect(inside)) },
			"UDP, 0.0.0.0":         func() error { return to(unix.AF_INET, udp, connect(v4)) },
			"UDP, ::":              func() error { return to(unix.AF_INET6, udp, connect(v6)) },
			"sent, 0.0.0.0":        func() error { return to(unix.AF_INET, udp, send(v4)) },
			"sent, ::":             func() error { return to(unix.AF_INET6, udp, send(v6)) },
			"sent, ::ffff:0.0.0.0": func() error { return to(unix.AF_INET6, udp, send(inside)) },
			"connected, 0.0.0.0":   func() error { return to(unix.AF_INET, udp, after(second, v4)) },
			"fast open, to 0.0.0.0": func() error {
				return to(unix.AF_INET, tcp, func(fd int) error { return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, v4) })
			},
		} {
			on(t, c, func() error { return denied(what, do()) })
		}
	})
}

// TestRoutes: packets go to whom was judged, and not by way of somebody else first.
func TestRoutes(t *testing.T) {
	const (
		looseRoute   = "\x83\x07\x04\x7f\x00\x00\x09\x00" // by 127.0.0.9, and an end
		padding      = "\x00\x00\x01\x04\x00\x00\x00\x00"
		segmentRoute = "\x00\x02\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	)
	set := func(level, option int, value string) func(int) error {
		return func(fd int) error { return unix.SetsockoptString(fd, level, option, value) }
	}
	message := func(level, option int, value string) []byte {
		m := make([]byte, unix.CmsgSpace(len(value)))
		h := (*unix.Cmsghdr)(unsafe.Pointer(&m[0]))
		h.Level, h.Type = int32(level), int32(option)
		h.SetLen(unix.CmsgLen(len(value)))
		copy(m[unix.CmsgLen(0):], value)
		return m
	}
	each(t, func(t *testing.T, g *Guard) {
		p := own()
		p.Net = []policy.NetRule{permit("127.0.0.1/32"), permit("::1/128")}
		c := newCell(t, g, p)
		v4, v6 := &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}, &unix.SockaddrInet6{Port: 9, Addr: [16]byte{15: 1}}
		for name, k := range map[string]struct {
			family  int
			prepare func(fd int) error
			options []byte // of the message itself
			allowed bool
		}{
			"none":                      {unix.AF_INET, nil, nil, true},
			"none, IPv6":                {unix.AF_INET6, nil, nil, true},
			"another option":            {unix.AF_INET, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, 8) }, nil, true},
			"a route":                   {unix.AF_INET, set(unix.IPPROTO_IP, unix.IP_OPTIONS, looseRoute), nil, false},
			"a route of a message":      {unix.AF_INET, nil, message(unix.IPPROTO_IP, unix.IP_RETOPTS, looseRoute), false},
			"a route, IPv6":             {unix.AF_INET6, set(unix.IPPROTO_IPV6, unix.IPV6_RTHDR, segmentRoute), nil, false},
			"options of hops":           {unix.AF_INET6, set(unix.IPPROTO_IPV6, unix.IPV6_HOPOPTS, padding), nil, false},
			"options of a receiver":     {unix.AF_INET6, set(unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS, padding), nil, false},
			"options of a message, too": {unix.AF_INET6, nil, message(unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS, padding), false},
		} {
			on(t, c, func() error {
				return to(k.family, unix.SOCK_DGRAM, func(fd int) error {
					var err error
					if k.prepare != nil {
						err = k.prepare(fd)
					}
					var sa unix.Sockaddr = v4
					if k.family == unix.AF_INET6 {
						sa = v6
					}
					if err == nil {
						err = unix.Sendmsg(fd, []byte("x"), k.options, sa, 0)
					}
					if !k.allowed {
						return denied(name, err)
					}
					if err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
					return nil
				})
			})
		}
	})
}

// TestOthers: what is refused whatever the policy.
func TestOthers(t *testing.T) {
	g := guarded(t)
	c := newCell(t, g, own())
	for what, do := range map[string]func() error{
		"bpf":   func() error { _, _, e := unix.Syscall(unix.SYS_BPF, 0, 0, 0); return e },
		"mount": func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") },
		"trace": func() error { return unix.PtraceAttach(os.Getppid()) },
		"kill":  func() error { return unix.Kill(os.Getpid(), 0) },
	} {
		on(t, c, func() error { return denied(what, do()) })
	}
}

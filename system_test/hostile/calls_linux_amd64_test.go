package hostile

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const cwd = ^uint64(0) - 99 // AT_FDCWD

func secretPath(c *canaries) []byte { return []byte(c.secret) }
func victimPath(c *canaries) []byte { return []byte(c.victim) }
func newPath(c *canaries) []byte    { return []byte(c.dir + "/made") }

func text(s string) func(*canaries) []byte { return func(*canaries) []byte { return []byte(s) } }

// two are paths in one page, the second at 512.
func two(a, b func(*canaries) []byte) func(*canaries) []byte {
	return func(c *canaries) []byte {
		out := make([]byte, 512, 1024)
		copy(out, a(c))
		return append(append(out, b(c)...), 0)
	}
}

const secondPath = dataArgument + 512

// opens and reads a file into the buffer.
func readsBy(open call) []call {
	return []call{open, {number: unix.SYS_READ, args: [6]uint64{resultArgument, bufferArgument, 512}}}
}

func inet(port func(*canaries) int) func(*canaries) []byte {
	return func(c *canaries) []byte {
		out := binary.BigEndian.AppendUint16([]byte{unix.AF_INET, 0}, uint16(port(c)))
		return append(out, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
	}
}

func inet6(port func(*canaries) int, host [16]byte) func(*canaries) []byte {
	return func(c *canaries) []byte {
		out := binary.BigEndian.AppendUint16([]byte{unix.AF_INET6, 0}, uint16(port(c)))
		return append(append(append(out, 0, 0, 0, 0), host[:]...), 0, 0, 0, 0)
	}
}

func local(name func(*canaries) string) func(*canaries) []byte {
	return func(c *canaries) []byte { return append([]byte{unix.AF_UNIX, 0}, name(c)...) }
}

func tcp(c *canaries) int  { return c.sockets.tcp }
func tcp6(c *canaries) int { return c.sockets.tcp6 }
func udp(c *canaries) int  { return c.sockets.udp }

// connects makes a socket and connects it.
func connects(domain, kind uint64, at func(*canaries) []byte, size uint64) []call {
	return []call{
		{number: unix.SYS_SOCKET, args: [6]uint64{domain, kind | unix.SOCK_NONBLOCK}},
		{number: unix.SYS_CONNECT, data: at, args: [6]uint64{resultArgument, dataArgument, size}},
	}
}

// sends makes a socket and sends a datagram, or data in the first packet.
func sends(domain, kind, flags uint64, at func(*canaries) []byte, size uint64) []call {
	return []call{
		{number: unix.SYS_SOCKET, args: [6]uint64{domain, kind | unix.SOCK_NONBLOCK}},
		{number: unix.SYS_SENDTO, data: at, args: [6]uint64{resultArgument, dataArgument, 8, flags, dataArgument, size}},
	}
}

// pair makes a pair of sockets for datagrams and has its first do something else.
func pair(then ...call) []call {
	return append(one(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0, bufferArgument), then...)
}

// datagramPath is the address of the socket in the file system that takes datagrams.
var datagramPath = local(func(c *canaries) string { return c.sockets.datagrams })

// sendsToPath sends a datagram to it from a pair.
func sendsToPath() []call {
	return pair(call{number: unix.SYS_SENDTO, data: datagramPath, args: [6]uint64{pairArgument, dataArgument, 8, 0, dataArgument, 110}})
}

var mapped = [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}

const x32 = 0x40000000

// unjudged: without Landlock, and without programs that judge files, nothing holds a guest
// with corrupted memory.
func unjudged() []passage { return []passage{{stacks: []string{gate, programs}, why: noLayers}} }

// unnamed: without a filter, and without programs that judge addresses.
func unnamed() []passage { return []passage{{stacks: []string{gate}, why: noLayers}} }

// unreached: neither do programs hold another thread of the host, which is bound to no cell.
func unreached() []passage {
	return append(unjudged(), passage{backend: "subinterpreter", stacks: []string{lsm}, why: unbound})
}

const (
	noLayers = "no layer of the kernel's judges it, and the gate is above the kernel"
	unbound  = "another thread of the host, which is bound to no cell, acts for the guest: they share their memory"
	shared   = "another thread of the host, which has no Landlock rules, acts for the guest: they share their memory"
)

package seccomp

import "golang.org/x/sys/unix"

// Not in x/sys for Linux: asm-generic/ioctls.h.
const fioNBIO, fioNCLEX, fioCLEX = 0x5421, 0x5450, 0x5451

// descriptorCommands are those of fcntl: none sends signals, nor is there a lease, by which
// others are made to wait.
var descriptorCommands = []uint32{
	unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL,
	unix.F_GETLK, unix.F_SETLK, unix.F_SETLKW, unix.F_OFD_GETLK, unix.F_OFD_SETLK, unix.F_OFD_SETLKW,
	unix.F_GETPIPE_SZ, unix.F_GET_SEALS,
}

// deviceRequests are those of ioctl.
var deviceRequests = []uint32{unix.TCGETS, unix.TIOCGWINSZ, unix.TIOCINQ, fioNBIO, fioCLEX, fioNCLEX}

// pairs are those that speak to each other for ever. One of datagrams sends to any Unix socket
// that it names, also in the file system, without a connection.
var pairs = []clause{{is(0, unix.AF_UNIX), test{arg: 1, mask: 0xf, in: []uint32{unix.SOCK_STREAM, unix.SOCK_SEQPACKET}}}}

// socketOptions are what Python's library, its usual clients and the C library's resolver
// set. A packet goes to the first hop of a route that its sender names (IP_OPTIONS,
// IPV6_RTHDR) or out of a device of its choice (SO_BINDTODEVICE), whatever the address that
// was judged; the groups of IP_ADD_MEMBERSHIP are sent to without a connection; programs
// (SO_ATTACH_BPF) and protocols on top (TCP_ULP) are the kernel's insides.
var socketOptions = []clause{
	{is(1, unix.SOL_SOCKET), is(2,
		unix.SO_REUSEADDR, unix.SO_REUSEPORT, unix.SO_BROADCAST, unix.SO_KEEPALIVE, unix.SO_LINGER, unix.SO_OOBINLINE,
		unix.SO_SNDBUF, unix.SO_RCVBUF, unix.SO_RCVLOWAT, unix.SO_PASSCRED, unix.SO_PRIORITY, unix.SO_TIMESTAMP,
		unix.SO_RCVTIMEO, unix.SO_SNDTIMEO, unix.SO_RCVTIMEO_NEW, unix.SO_SNDTIMEO_NEW)},
	{is(1, unix.IPPROTO_TCP), is(2,
		unix.TCP_NODELAY, unix.TCP_MAXSEG, unix.TCP_CORK, unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT,
		unix.TCP_SYNCNT, unix.TCP_LINGER2, unix.TCP_WINDOW_CLAMP, unix.TCP_QUICKACK, unix.TCP_USER_TIMEOUT,
		unix.TCP_NOTSENT_LOWAT)},
	{is(1, unix.IPPROTO_IP), is(2,
		unix.IP_TOS, unix.IP_TTL, unix.IP_MTU_DISCOVER, unix.IP_RECVERR, unix.IP_PKTINFO, unix.IP_RECVTTL, unix.IP_RECVTOS,
		unix.IP_MULTICAST_TTL, unix.IP_MULTICAST_LOOP)},
	{is(1, unix.IPPROTO_IPV6), is(2,
		unix.IPV6_V6ONLY, unix.IPV6_UNICAST_HOPS, unix.IPV6_TCLASS, unix.IPV6_MTU_DISCOVER, unix.IPV6_RECVERR,
		unix.IPV6_RECVPKTINFO, unix.IPV6_RECVHOPLIMIT, unix.IPV6_RECVTCLASS, unix.IPV6_MULTICAST_HOPS, unix.IPV6_MULTICAST_LOOP)},
}

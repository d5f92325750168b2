package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/procstat"
)

// peer is who is at the other end of a connection.
type peer struct {
	// source is what failed authentications are counted by: "uid:1000", or see hostOf.
	source string
	// trusted are this node's own user and root, outside any cell: they need no token.
	trusted bool
	uid     uint32
	// node of the cluster that it is, and says for whom it calls; "" of anybody else.
	node string
}

// isOwn says that it is of this machine's user or of the cluster, who take their answers.
func (p peer) isOwn() bool { return p.trusted || p.node != "" }

// uidPrefix is what the names of principals begin with that the kernel vouches for.
const uidPrefix = "uid:"

type peerKey struct{}

// withPeer puts who is at the other end of c into the context of its requests.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	switch c := c.(type) {
	case *peerConn:
		return context.WithValue(ctx, peerKey{}, c.peer)
	case *nodeConn:
		return context.WithValue(ctx, peerKey{}, peer{source: "node:" + c.node, node: c.node})
	}
	return context.WithValue(ctx, peerKey{}, peer{source: hostOf(c.RemoteAddr())})
}

// hostOf is what a client over the network is counted as: its address, and with IPv6 its
// network, for each host has as many addresses there as it likes.
func hostOf(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return "unknown"
	}
	ip := at.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.Prefix(64) // which an IPv6 address has
	return network.String()
}

func peerOf(ctx context.Context) peer {
	p, _ := ctx.Value(peerKey{}).(peer)
	return p
}

// peerOfSocket asks the kernel who connected.
func peerOfSocket(c *net.UnixConn) (peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var p peer
	control := raw.Control(func(fd uintptr) { p, err = peerOfDescriptor(int(fd)) })
	if control != nil {
		return peer{}, control
	}
	return p, err
}

func peerOfDescriptor(fd int) (peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{}, fmt.Errorf("who connected: %w", err)
	}
	p := peer{uid: cred.Uid, source: uidPrefix + strconv.FormatUint(uint64(cred.Uid), 10)}
	switch cred.Uid {
	case uint32(os.Geteuid()):
		// A guest's process may be of the same user, in namespaces of its host's.
		p.trusted = outsideCells(cred.Pid, fd)
	case 0: // no guest of a node that is not root is root
		p.trusted = true
	}
	return p, nil
}

// outsideCells tells whether a process is none of a cell's, as far as can be told: it shares
// this one's process and user namespaces, which no cell's does where the kernel gives it any,
// and this process has not started it, nor has one that it started. What cannot be told is no.
func outsideCells(pid int32, fd int) bool {
	for _, namespace := range []string{"pid", "user"} {
		own, err := os.Readlink("/proc/self/ns/" + namespace)
		theirs, theirErr := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, namespace))
		if err != nil || theirErr != nil || own != theirs {
			return false
		}
	}
	own := int32(os.Getpid())
	return (pid == own || !descends(pid, own)) && stillThere(fd)
}

// maxAncestors is more than any process has that is not there to hide.
const maxAncestors = 1000

// descends tells whether a process was started by another, or by one that it started, and so
// on. It is so, too, when it cannot be told.
func descends(pid, from int32) bool {
	for range maxAncestors {
		if pid <= 1 {
			return from == 1 && pid == 1
		}
		parent, err := parentOf(pid)
		if err != nil || parent == from {
			return true
		}
		pid = parent
	}
	return true
}

func parentOf(pid int32) (int32, error) {
	fields, err := procstat.Fields(int(pid))
	if err != nil {
		return 0, err
	}
	if len(fields) < 2 {
		return 0, fmt.Errorf("process %d has no parent", pid)
	}
	parent, err := strconv.ParseInt(fields[1], 10, 32)
	return int32(parent), err
}

// stillThere rules out that the process has ended and its number is another's by now. Kernels
// before 6.5 cannot say.
func stillThere(fd int) bool {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return err == unix.ENOPROTOOPT
	}
	defer func() { _ = unix.Close(pidfd) }()
	return unix.PidfdSendSignal(pidfd, 0, nil, 0) == nil
}

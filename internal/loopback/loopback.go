// Package loopback gives tests addresses for the nodes they start. A port that was free a moment
// ago may be another process's by the time a node listens there: the kernel hands it out again,
// also as the near end of any connection. So each process has addresses of 127.0.0.0/8 of its own,
// and ports that the kernel gives nobody who does not ask for them.
package loopback

import (
	"net/netip"
	"os"
	"sync/atomic"
)

// Ports of an address that are given out, in steps of two: gossip is at the one after it.
const (
	lowest = 7000
	ports  = 100
	hosts  = 250
)

var given atomic.Uint32

// Address is one where a node of a cluster can be, which nobody else is given: not in this
// process, nor in another that runs meanwhile. Nobody is at the port after it either. It panics
// when there are no more, which is after 25,000.
func Address() string {
	address, ok := at(os.Getpid(), given.Add(1)-1)
	if !ok {
		panic("loopback: there are no more addresses")
	}
	return address.String()
}

// at is the n-th address of a process.
func at(pid int, n uint32) (netip.AddrPort, bool) {
	if n >= hosts*ports {
		return netip.AddrPort{}, false
	}
	host := netip.AddrFrom4([4]byte{127, byte(1 + pid>>8%hosts), byte(pid), byte(1 + n%hosts)})
	return netip.AddrPortFrom(host, uint16(lowest+2*(n/hosts))), true
}

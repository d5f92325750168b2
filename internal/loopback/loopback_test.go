package loopback

import (
	"net"
	"net/netip"
	"testing"
)

// No two are the same, of one process or of some, and their neighbours are nobody's.
func TestAt(t *testing.T) {
	seen := map[netip.AddrPort]bool{}
	for _, pid := range []int{1, 2, 256, 257, 300, 4 << 10} {
		for n := range uint32(hosts * ports) {
			address, ok := at(pid, n)
			if !ok || !address.Addr().IsLoopback() || address.Port() >= 32768 {
				t.Fatalf("the %d-th of %d is %s, %t", n, pid, address, ok)
			}
			next := netip.AddrPortFrom(address.Addr(), address.Port()+1)
			if seen[address] || seen[next] {
				t.Fatalf("%s was given before, or %s", address, next)
			}
			seen[address] = true
		}
		if address, ok := at(pid, hosts*ports); ok {
			t.Errorf("there is another of %d: %s", pid, address)
		}
	}
}

// One can listen there.
func TestAddress(t *testing.T) {
	for range 3 {
		l, err := net.Listen("tcp", Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
}

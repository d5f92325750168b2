package node

import (
	"net"
	"net/netip"
	"sync"
)

// Connections over TCP at one time; each may carry many calls.
const (
	maxConnections     = 2048
	maxConnectionsEach = 256 // of one address; of IPv6 one /64
)

// bounded is a listener that no client can exhaust for others. A connection that is one too
// many is closed at once.
type bounded struct {
	net.Listener

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

func newBounded(l net.Listener) *bounded {
	return &bounded{Listener: l, from: map[netip.Prefix]int{}}
}

// Accept implements net.Listener.
func (l *bounded) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := origin(c.RemoteAddr())
		if l.admit(from) {
			return &boundedConn{Conn: c, leave: sync.OnceFunc(func() { l.release(from) })}, nil
		}
		_ = c.Close()
	}
}

// origin is whom a connection is counted for.
func origin(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}

func (l *bounded) admit(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxConnections || l.from[from] >= maxConnectionsEach {
		return false
	}
	l.all++
	l.from[from]++
	return true
}

func (l *bounded) release(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.from[from]--; l.from[from] == 0 {
		delete(l.from, from)
	}
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

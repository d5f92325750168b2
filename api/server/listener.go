package server

import (
	"net"
	"sync"
)

// maxConnections of one user; each may carry many calls.
const maxConnections = 128

// peerListener knows who connects, and lets no user keep others out.
type peerListener struct {
	*net.UnixListener

	mu   sync.Mutex
	open map[uint32]int // connections by user
}

// peerConn is a connection whose other end is known.
type peerConn struct {
	*net.UnixConn
	peer
	listener *peerListener
	once     sync.Once
}

func newPeerListener(l *net.UnixListener) *peerListener {
	return &peerListener{UnixListener: l, open: map[uint32]int{}}
}

// Accept implements net.Listener. A connection that is one too many is closed at once.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		p, err := peerOfSocket(c)
		if err == nil && l.admit(p.uid) {
			return &peerConn{UnixConn: c, peer: p, listener: l}, nil
		}
		_ = c.Close()
	}
}

func (l *peerListener) admit(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid] >= maxConnections {
		return false
	}
	l.open[uid]++
	return true
}

func (l *peerListener) release(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid]--; l.open[uid] == 0 {
		delete(l.open, uid)
	}
}

// Close implements net.Conn.
func (c *peerConn) Close() error {
	c.once.Do(func() { c.listener.release(c.uid) })
	return c.UnixConn.Close()
}

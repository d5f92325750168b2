package server

import (
	"net"
	"sync"
)

const (
	// maxConnections of one user; each may carry many calls, over HTTP/2 maxStreams.
	maxConnections = 128
	maxStreams     = 128
	// maxTrusted of the node's own user, and of root: small clients have one for each stream.
	maxTrusted = 2048
	// maxOthers is of all users but those that are trusted: a user can have thousands of
	// numbers.
	maxOthers = 1024
)

// peerListener knows who connects, and lets no user keep others out.
type peerListener struct {
	*net.UnixListener

	mu   sync.Mutex
	open map[uint32]int // connections by user

	others int // connections of users that are not trusted
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
		if err == nil && l.admit(p) {
			return &peerConn{UnixConn: c, peer: p, listener: l}, nil
		}
		_ = c.Close()
	}
}

func (l *peerListener) admit(p peer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := maxConnections
	if p.trusted {
		most = maxTrusted
	}
	if l.open[p.uid] >= most || !p.trusted && l.others >= maxOthers {
		return false
	}
	l.open[p.uid]++
	if !p.trusted {
		l.others++
	}
	return true
}

func (l *peerListener) release(p peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[p.uid]--; l.open[p.uid] == 0 {
		delete(l.open, p.uid)
	}
	if !p.trusted {
		l.others--
	}
}

// Close implements net.Conn.
func (c *peerConn) Close() error {
	c.once.Do(func() { c.listener.release(c.peer) })
	return c.UnixConn.Close()
}

package wire

import (
	"crypto/tls"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// Conn is a connection to a node. It can end at any time, also because the node is not
// allowed any more.
type Conn struct {
	*tls.Conn
	peer    pki.Peer
	stream  Stream
	wire    *Wire
	counted bool         // of those that the peer opened
	from    netip.Prefix // of those
	order   uint64       // among all of the wire
	end     atomic.Pointer[time.Timer]
}

// Peer is the node at the other end, by its certificate. On the stream [Join] it is empty.
func (c *Conn) Peer() pki.Peer { return c.peer }

// Stream it is.
func (c *Conn) Stream() Stream { return c.stream }

// Close ends the connection, after what was written.
func (c *Conn) Close() error {
	c.forget()
	return c.Conn.Close()
}

// sever ends it without a word to the peer, which could take its time to listen.
func (c *Conn) sever() {
	c.forget()
	_ = c.NetConn().Close()
}

func (c *Conn) forget() {
	c.wire.open.remove(c)
	if t := c.end.Load(); t != nil {
		t.Stop()
	}
}

// limitTo ends it after a time, whatever deadlines its user sets.
func (c *Conn) limitTo(d time.Duration) { c.end.Store(time.AfterFunc(d, c.sever)) }

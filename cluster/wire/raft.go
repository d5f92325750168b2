package wire

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// StreamLayer is a stream as Raft wants it. Raft's addresses of servers are the names of nodes.
func (w *Wire) StreamLayer(s Stream) raft.StreamLayer {
	return &layer{w.Listener(s), w, s}
}

type layer struct {
	net.Listener
	wire   *Wire
	stream Stream
}

var _ raft.StreamLayer = (*layer)(nil)

// Dial implements raft.StreamLayer.
func (l *layer) Dial(node raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	c, err := l.wire.Dial(ctx, string(node), l.stream)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Addr is this node's name: what Raft tells others of where it is.
func (l *layer) Addr() net.Addr { return nodeAddr(l.wire.c.Identity.Name()) }

type nodeAddr string

// Network implements net.Addr.
func (nodeAddr) Network() string { return "node" }

// String implements net.Addr.
func (a nodeAddr) String() string { return string(a) }

// Package wire is the one port between nodes: mutual TLS, and streams for several users.
package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// Stream is what a connection is for. Each is a protocol of TLS's ALPN.
type Stream string

const (
	// Policy is the Raft group of the policy store.
	Policy Stream = "raft/policy"
	// Directory is the Raft group of the directory.
	Directory Stream = "raft/directory"
	// Actors is for messages between cells.
	Actors Stream = "actors"
	// Control is for renewal and forwarded writes.
	Control Stream = "control"
	// Join is for nodes without a certificate, and the only such.
	Join Stream = "join"
)

// Config of a Wire.
type Config struct {
	// Identity of this node.
	Identity *pki.Identity
	// Address to listen on, host:port.
	Address string
	// Lookup is the address, host:port, of a node.
	Lookup func(node string) (string, error)
	// Allow tells why a node is not let in, or out.
	Allow pki.Allow
	// Logger; nil discards.
	Logger *slog.Logger
}

// Wire is one listening port.
type Wire struct{ c Config }

var errTODO = errors.New("not built yet")

// Listen opens the port.
func Listen(context.Context, Config) (*Wire, error) { return nil, errTODO }

// Addr it listens on.
func (w *Wire) Addr() net.Addr { return nil }

// Listener gives what other nodes open for a stream. The connections are [*Conn].
func (w *Wire) Listener(Stream) net.Listener { return nil }

// Dial opens a stream to a node. It returns when the node has accepted it.
func (w *Wire) Dial(context.Context, string, Stream) (*Conn, error) { return nil, errTODO }

// StreamLayer is a stream as Raft wants it: addresses are names of nodes.
func (w *Wire) StreamLayer(Stream) raft.StreamLayer { return nil }

// DialJoin opens the join stream with a token, without a certificate. It returns the authority's
// certificate, in DER.
func DialJoin(context.Context, pki.Token) (net.Conn, []byte, error) { return nil, nil, errTODO }

// Recheck closes the connections of nodes that are not allowed any more.
func (w *Wire) Recheck() {}

// Close ends the port and all its connections.
func (w *Wire) Close() error { return nil }

// Conn is a connection to a node.
type Conn struct {
	net.Conn
	peer pki.Peer
}

// Peer is the node at the other end. It is empty on the join stream.
func (c *Conn) Peer() pki.Peer { return c.peer }

var _ = time.Second

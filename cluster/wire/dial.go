package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// Dial opens a stream to a node, by its name. It returns when that node has accepted it, or after
// [Limits.HandshakeTime] at most. The errors are [ErrBusy], [ErrNoStream] and [ErrClosed], those of
// package pki, and the network's. [Join] is opened with [DialJoin].
func (w *Wire) Dial(ctx context.Context, node string, s Stream) (*Conn, error) {
	c, err := w.dial(ctx, node, s)
	if err != nil {
		return nil, fmt.Errorf("open %s to node %q: %w", s, node, err)
	}
	return c, nil
}

func (w *Wire) dial(ctx context.Context, node string, s Stream) (*Conn, error) {
	if w.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if s == Join || !pki.ValidName(node) {
		return nil, errors.New("not a stream to a node")
	}
	address, err := w.c.Lookup(node)
	if err != nil {
		return nil, fmt.Errorf("look up its address: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, w.c.Limits.HandshakeTime)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	conn, err := open(ctx, address, s, pki.Client(w.c.Identity, node, w.c.Allow))
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: conn, stream: s, wire: w}
	if c.peer, err = pki.PeerIn(conn.ConnectionState()); err == nil {
		err = w.keep(c)
	}
	if err != nil {
		_ = conn.NetConn().Close()
		return nil, err
	}
	return c, nil
}

// keep takes up a connection that this node opened.
func (w *Wire) keep(c *Conn) error {
	if _, err := w.open.add(c, 0); err != nil {
		return err
	}
	err := w.judge(c)
	if err != nil {
		w.open.remove(c)
	}
	return err
}

// DialJoin opens the stream [Join] for a node that has only a token, at the first of the token's
// addresses that answers, each for at most five seconds. authority is the certificate of the
// cluster's authority, in DER, which the token vouches for.
func DialJoin(ctx context.Context, t pki.Token) (conn net.Conn, authority []byte, err error) {
	var failed []error
	for _, address := range t.Addresses {
		c, err := dialJoin(ctx, address, t)
		if err == nil {
			authority, err = pki.AuthorityIn(c.ConnectionState(), t)
			if err == nil {
				return c, authority, nil
			}
			_ = c.Close()
		}
		failed = append(failed, fmt.Errorf("at %s: %w", address, err))
	}
	return nil, nil, fmt.Errorf("reach the cluster to join it: %w", errors.Join(failed...))
}

func dialJoin(ctx context.Context, address string, t pki.Token) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Limits{}.withDefaults().HandshakeTime)
	defer cancel()
	return open(ctx, address, Join, pki.JoinClient(t))
}

// open connects, shakes hands and waits for the answer, for as long as ctx allows.
func open(ctx context.Context, address string, s Stream, config *tls.Config) (*tls.Conn, error) {
	raw, err := (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	config.NextProtos = []string{s.alpn()}
	conn := tls.Client(raw, config)
	if err := greet(ctx, conn); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("shake hands with %s: %w", address, err)
	}
	return conn, nil
}

// greet does what comes before the user's first byte.
func greet(ctx context.Context, conn *tls.Conn) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	interrupt := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	var got [1]byte
	_, err := io.ReadFull(conn, got[:])
	if !interrupt() {
		return context.Cause(ctx)
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it closed the connection before it answered")
	}
	if err != nil {
		return err
	}
	return answer(got[0]).err()
}

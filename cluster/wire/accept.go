package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// maxPause is how long accepting rests when it fails, for want of descriptors mostly.
const maxPause = time.Second

// accept takes connections until the port is closed.
func (w *Wire) accept() {
	pause := time.Millisecond
	for {
		raw, err := w.port.Accept()
		if err == nil {
			pause = time.Millisecond
			w.receive(raw)
			continue
		}
		if w.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		w.say("no connection can be accepted", "error", err)
		select {
		case <-time.After(pause):
			pause = min(2*pause, maxPause)
		case <-w.ctx.Done():
			return
		}
	}
}

// receive begins a handshake, if the door lets it in.
func (w *Wire) receive(raw net.Conn) {
	v, evicted := w.door.enter(raw, time.Now())
	if evicted != nil {
		w.count.evicted.Add(1)
		_ = evicted.conn.Close()
	}
	if v == nil {
		w.count.turnedAway.Add(1)
		_ = raw.Close()
		return
	}
	w.work.Go(func() {
		defer w.door.leave(v)
		if err := w.welcome(raw); err != nil {
			_ = raw.Close()
			w.say("a connection is refused", "address", raw.RemoteAddr(), "error", fmt.Sprintf("%.400s", err)) // it may have a stranger's words
		}
	})
}

// welcome goes from a raw connection to one that its user has.
func (w *Wire) welcome(raw net.Conn) error {
	if err := raw.SetDeadline(time.Now().Add(w.c.Limits.HandshakeTime)); err != nil {
		return err
	}
	conn := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: w.configFor})
	if err := conn.HandshakeContext(w.ctx); err != nil {
		w.count.failed.Add(1)
		return err
	}
	if err := w.incoming(conn); err != nil {
		w.count.refused.Add(1)
		_, _ = conn.Write([]byte{byte(answerTo(err))})
		return err
	}
	return nil
}

// configFor chooses by the one protocol that the client offers.
func (w *Wire) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if n := len(hello.SupportedProtos); n != 1 {
		return nil, fmt.Errorf("it offers %d protocols, one is right", n)
	}
	s, ok := streamOf(hello.SupportedProtos[0])
	if !ok {
		return nil, fmt.Errorf("it offers the protocol %.80q; is it a node of another version?", hello.SupportedProtos[0])
	}
	c := w.server
	if s == Join {
		c = w.join
	}
	c = c.Clone()
	c.NextProtos = []string{s.alpn()}
	return c, nil
}

// incoming hands a connection that has shown who it is to the user of its stream.
func (w *Wire) incoming(conn *tls.Conn) error {
	state := conn.ConnectionState()
	s, ok := streamOf(state.NegotiatedProtocol)
	if !ok {
		return fmt.Errorf("%w: %q", ErrNoStream, state.NegotiatedProtocol)
	}
	c := &Conn{Conn: conn, stream: s, wire: w, counted: true, from: source(conn.RemoteAddr())}
	if s == Join {
		return w.hand(c, w.c.Limits.Joins)
	}
	var err error
	if c.peer, err = pki.PeerIn(state); err != nil {
		return err
	}
	return w.hand(c, w.c.Limits.PerPeer)
}

// hand answers a connection and gives it to its listener. On an error nothing of it is left but
// the connection itself.
func (w *Wire) hand(c *Conn, limit int) (err error) {
	evicted, err := w.open.add(c, limit)
	if err != nil {
		return err
	}
	if evicted != nil {
		w.count.evicted.Add(1)
		evicted.sever()
	}
	defer func() {
		if err != nil {
			w.open.remove(c)
		}
	}()
	// A recheck from here on sees it; one that was before may have changed what is allowed.
	if err := w.judge(c); err != nil {
		return err
	}
	l := w.find(c.stream)
	if l == nil {
		return fmt.Errorf("%w: %s", ErrNoStream, c.stream)
	}
	if err := l.reserve(); err != nil {
		return err
	}
	if _, err := c.Write([]byte{byte(accepted)}); err != nil {
		l.release()
		return err
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		l.release()
		return err
	}
	if c.stream == Join {
		c.limitTo(w.c.Limits.JoinTime)
	}
	w.count.accepted.Add(1)
	l.push(c)
	return nil
}

package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// fakeConn is of a host.
type fakeConn struct {
	net.Conn
	host string
}

func (c *fakeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.host), Port: 1} }

// One host has its part, and idle ones make room.
func TestConnections(t *testing.T) {
	s := newConnections()
	s.most = 300
	var first []net.Conn
	for i := range maxConnections {
		c := &fakeConn{host: "192.0.2.1"}
		first = append(first, c)
		if s.note(c, http.StateNew) != nil {
			t.Fatalf("connection %d is refused", i)
		}
	}
	over := &fakeConn{host: "192.0.2.1"}
	if s.note(over, http.StateNew) != net.Conn(over) {
		t.Error("one too many of a host is admitted")
	}
	s.note(over, http.StateClosed) // it was never counted
	s.note(first[0], http.StateActive)
	var others []net.Conn
	for i := range 300 - maxConnections {
		c := &fakeConn{host: fmt.Sprintf("198.51.100.%d", i)}
		others = append(others, c)
		if s.note(c, http.StateNew) != nil {
			t.Fatalf("other %d is refused", i)
		}
	}
	if got := s.note(&fakeConn{host: "203.0.113.1"}, http.StateNew); got != first[1] {
		t.Errorf("closed %v, and not the one that is idle the longest", got)
	}
	for _, c := range append(first[2:], others...) {
		s.note(c, http.StateActive)
	}
	late := &fakeConn{host: "203.0.113.2"}
	s.note(late, http.StateNew) // in the place of the one above
	s.note(late, http.StateActive)
	last := &fakeConn{host: "203.0.113.3"}
	if s.note(last, http.StateNew) != net.Conn(last) {
		t.Error("one is admitted although all are busy")
	}
	s.note(first[0], http.StateIdle)
	if s.note(last, http.StateNew) != first[0] {
		t.Error("an idle one does not make room")
	}
	for _, c := range append(append(first, others...), late, last) {
		s.note(c, http.StateClosed)
	}
	if len(s.all) != 0 || len(s.of) != 0 || s.idle.Len() != 0 {
		t.Errorf("%d connections of %v are left", len(s.all), s.of)
	}
}

// polite says goodbye when it is closed, as TLS does.
type polite struct {
	net.Conn
	said bool
}

func (p *polite) NetConn() net.Conn { return p.Conn }

func (p *polite) Close() error {
	p.said = true
	return p.Conn.Close()
}

var _ interface{ NetConn() net.Conn } = (*tls.Conn)(nil) // or it would not be seen

// A client that takes nothing keeps nobody waiting when its connection makes room.
func TestCut(t *testing.T) {
	own, client := net.Pipe()
	defer func() { _ = client.Close() }()
	p := &polite{Conn: own}
	cut(p)
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || p.said {
		t.Errorf("the client reads %v; it was told: %t", err, p.said)
	}
}

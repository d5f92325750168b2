package server

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxRemote is how many connections there are over the network; of one host, maxConnections.
const maxRemote = 4096

// connections bounds those over the network, but for other nodes'. One host does not keep others out by having many,
// and many that have nothing to say make room for one that may.
type connections struct {
	mu   sync.Mutex
	of   map[string]int // by host
	all  map[net.Conn]*remoteConn
	idle *list.List // of net.Conn that have no request, the longest first
	most int
}

type remoteConn struct {
	host string
	idle *list.Element // nil: it has a request
}

func newConnections() *connections {
	return &connections{of: map[string]int{}, all: map[net.Conn]*remoteConn{}, idle: list.New(), most: maxRemote}
}

// changed is http.Server's ConnState.
func (s *connections) changed(c net.Conn, state http.ConnState) {
	switch c.(type) {
	case *peerConn, *nodeConn: // its listener counts it
		return
	}
	if surplus := s.note(c, state); surplus != nil {
		cut(surplus) // and package http tells that it is closed
	}
}

// cut closes a connection without a word. TLS says one, and waits for a client to take it; this
// is called where connections are accepted.
func cut(c net.Conn) {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = over.NetConn()
	}
	_ = c.Close()
}

// note returns a connection that is to be closed, or nil.
func (s *connections) note(c net.Conn, state http.ConnState) (surplus net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.all[c]
	switch {
	case state == http.StateNew:
		return s.admit(c)
	case known == nil: // it was not admitted
	case state == http.StateIdle:
		s.busy(known)
		known.idle = s.idle.PushBack(c)
	case state == http.StateActive:
		s.busy(known)
	default:
		s.forget(c, known)
	}
	return nil
}

func (s *connections) admit(c net.Conn) (surplus net.Conn) {
	host := hostOf(c.RemoteAddr())
	if s.of[host] >= maxConnections {
		return c
	}
	if len(s.all) >= s.most {
		oldest := s.idle.Front()
		if oldest == nil {
			return c
		}
		surplus = oldest.Value.(net.Conn)
		s.forget(surplus, s.all[surplus])
	}
	s.of[host]++
	s.all[c] = &remoteConn{host, s.idle.PushBack(c)}
	return surplus
}

func (s *connections) busy(r *remoteConn) {
	if r.idle != nil {
		s.idle.Remove(r.idle)
		r.idle = nil
	}
}

func (s *connections) forget(c net.Conn, r *remoteConn) {
	s.busy(r)
	delete(s.all, c)
	if s.of[r.host]--; s.of[r.host] == 0 {
		delete(s.of, r.host)
	}
}

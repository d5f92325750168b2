package wire

import (
	"fmt"
	"net"
	"slices"
	"sync"
)

// backlog is how many accepted connections wait for their user, per stream.
const backlog = 64

// listener gives the connections of one stream to its user.
type listener struct {
	stream Stream
	wire   *Wire
	queue  chan *Conn
	done   chan struct{}

	mu      sync.Mutex
	waiting int // in the queue, or about to be; at most backlog
	closed  bool
}

// Listener gives what other nodes open for a stream; the connections are [*Conn]. As long as it
// is open, another call gives the same one. Before the first call, and after it was closed, nodes
// that dial hear [ErrNoStream]. For what is not a stream of this package it accepts nothing.
func (w *Wire) Listener(s Stream) net.Listener {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l, ok := w.listeners[s]; ok && !l.isClosed() {
		return l
	}
	l := &listener{stream: s, wire: w, queue: make(chan *Conn, backlog), done: make(chan struct{})}
	if w.ctx.Err() != nil || !slices.Contains(streams, s) {
		l.shut()
		return l
	}
	w.listeners[s] = l
	return l
}

// find is the listener of a stream, or nil.
func (w *Wire) find(s Stream) *listener {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.listeners[s]
}

// reserve makes room for one connection.
func (l *listener) reserve() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("%w: %s", ErrNoStream, l.stream)
	}
	if l.waiting == backlog {
		return fmt.Errorf("%w: %d on %s wait to be served", ErrBusy, backlog, l.stream)
	}
	l.waiting++
	return nil
}

func (l *listener) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
}

// push fills the room that was reserved.
func (l *listener) push(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.sever()
		return
	}
	l.queue <- c
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		l.release()
		return c, nil
	case <-l.done:
		return nil, fmt.Errorf("accept on %s: %w", l.stream, net.ErrClosed)
	}
}

// Close implements net.Listener. What was not accepted yet is closed.
func (l *listener) Close() error {
	l.shut()
	return nil
}

func (l *listener) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	close(l.done)
	for len(l.queue) > 0 {
		(<-l.queue).sever()
	}
}

func (l *listener) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Addr implements net.Listener: of the port.
func (l *listener) Addr() net.Addr { return l.wire.Addr() }

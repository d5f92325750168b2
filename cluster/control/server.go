package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cluster/wire"
)

// inside gives connections without what tells of their TLS, by which net/http would take them for
// its own and speak HTTP/1.
type inside struct{ net.Listener }

type plain struct{ net.Conn }

// Accept implements net.Listener.
func (l inside) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return plain{c}, nil
}

// peerKey is where a connection's context has the name of the node.
type peerKey struct{}

func newServer(c *Control) *http.Server {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true) // inside of the wire's TLS
	return &http.Server{
		Handler: http.HandlerFunc(c.serve), Protocols: &p,
		ReadHeaderTimeout: readTime, IdleTimeout: 2 * idle, MaxHeaderBytes: 4 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxPending,
			SendPingTimeout:      aliveAfter, PingTimeout: aliveWithin,
		},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			name := ""
			if p, ok := conn.(plain); ok {
				if c, ok := p.Conn.(*wire.Conn); ok {
					name = c.Peer().Name
				}
			}
			return context.WithValue(ctx, peerKey{}, name)
		},
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
	}
}

// begin counts a request in, or tells with which status it is turned away.
func (c *Control) begin(from, topic string) (Handler, int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.handlers[topic]
	all, of := roomsOf(from, topic)
	switch {
	case from == "":
		return nil, http.StatusForbidden, errors.New("it is not known who asks")
	case c.closed:
		return nil, http.StatusServiceUnavailable, errors.New("the node is closing")
	case !ok:
		return nil, http.StatusNotFound, fmt.Errorf("nobody answers %.80q", topic)
	case c.pending[all] >= maxPending:
		return nil, http.StatusTooManyRequests, fmt.Errorf("%d requests are under way", maxPending)
	case c.pending[of] >= h.most:
		return nil, http.StatusTooManyRequests, fmt.Errorf("%d requests of %s are under way", h.most, topic)
	}
	c.pending[all]++
	c.pending[of]++
	c.work.Add(1)
	return h.handler, http.StatusOK, nil
}

// roomsOf are those that a request takes up: that of all, and its topic's.
func roomsOf(from, topic string) (all, of room) {
	urgent := isUrgent(topic)
	return room{from, "", urgent}, room{from, topic, urgent}
}

func (c *Control) end(from, topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, of := roomsOf(from, topic)
	for _, r := range []room{all, of} {
		if c.pending[r]--; c.pending[r] == 0 {
			delete(c.pending, r)
		}
	}
	c.work.Done()
}

// serve answers one request. A status other than OK and [statusRefused] says that no handler began.
func (c *Control) serve(w http.ResponseWriter, r *http.Request) {
	from, _ := r.Context().Value(peerKey{}).(string)
	topic := strings.TrimPrefix(r.URL.Path, "/")
	h, status, err := c.begin(from, topic)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	defer c.end(from, topic)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTime))
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxSize))
	if err != nil {
		http.Error(w, fmt.Sprintf("the request did not arrive: %v", err), http.StatusRequestEntityTooLarge)
		return
	}
	answer, err := h(r.Context(), from, request)
	if err == nil && len(answer) > MaxSize {
		err = fmt.Errorf("it was done; its answer has %d bytes, %d are the most", len(answer), MaxSize)
	}
	if err != nil {
		w.WriteHeader(statusRefused)
		_, _ = io.WriteString(w, err.Error())
		return
	}
	_, _ = w.Write(answer)
}

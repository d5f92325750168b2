package fabric

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

const (
	// aliveAfter is how long nothing may come from a node before it is asked for, and aliveWithin
	// how long it may take then: a node that is dead is noticed within 3 s.
	aliveAfter, aliveWithin = 1500 * time.Millisecond, 1500 * time.Millisecond
	// idle is how long a connection is kept that nobody uses.
	idle = 5 * time.Minute
)

// transport carries clients' calls to the nodes that have what they are about: HTTP/2 on the wire,
// whose connections are the nodes' own. One connection has as many calls as the other node lets it,
// 128; the wire bounds how many there are.
type transport struct{ http *http.Transport }

func (t *transport) open(f *Fabric) {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true) // inside of the wire's TLS
	t.http = &http.Transport{
		Protocols: &p, DisableCompression: true, IdleConnTimeout: idle,
		HTTP2: &http.HTTP2Config{SendPingTimeout: aliveAfter, PingTimeout: aliveWithin},
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			node, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			c := f.at()
			if c == nil {
				return nil, errCutOff
			}
			conn, err := c.Wire().Dial(ctx, node, wire.API)
			if err != nil {
				return nil, err // not a nil *wire.Conn
			}
			return conn, nil
		},
	}
}

func (t *transport) close() { t.http.CloseIdleConnections() }

// HTTP carries requests to the API of another node. Whatever host a request names, it goes there.
func (f *Fabric) HTTP(node string) http.RoundTripper { return toNode{f.calls.http, node} }

type toNode struct {
	by   *http.Transport
	node string
}

// RoundTrip implements http.RoundTripper. The error of a request that was not sent is
// fault.ErrUnavailable.
func (t toNode) RoundTrip(r *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	to := r.Clone(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}))
	to.URL.Scheme, to.URL.Host, to.Host = "http", t.node, t.node
	back, err := t.by.RoundTrip(to)
	if err != nil && !connected.Load() && r.Context().Err() == nil {
		err = fmt.Errorf("%w: node %s is not reached: %w", fault.ErrUnavailable, t.node, err)
	}
	return back, err
}

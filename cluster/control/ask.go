package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// statusRefused is the status of an answer that is a handler's error.
const statusRefused = http.StatusUnprocessableEntity

// maxText is how much of an error's text is read, in bytes.
const maxText = 4 << 10

func isUrgent(topic string) bool { return strings.HasPrefix(topic, Urgent) }

func newTransport(dial Dial) *http.Transport {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true) // inside of the wire's TLS
	return &http.Transport{
		Protocols: &p, DisableCompression: true, IdleConnTimeout: idle,
		MaxConnsPerHost: 1, // the others wait for it instead of dialling, too
		HTTP2:           &http.HTTP2Config{SendPingTimeout: aliveAfter, PingTimeout: aliveWithin},
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			node, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return dial(ctx, node)
		},
	}
}

// Ask has another node answer a request of a topic. For what an error says see the package's
// documentation.
func (c *Control) Ask(ctx context.Context, node, topic string, request []byte) ([]byte, error) {
	answer, err := c.ask(ctx, node, topic, request)
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		return nil, fmt.Errorf("ask node %.80q for %s: %w", node, topic, err)
	}
	return answer, err
}

func (c *Control) ask(ctx context.Context, node, topic string, request []byte) ([]byte, error) {
	if !pki.ValidName(node) || !topicPattern.MatchString(topic) {
		return nil, fmt.Errorf("%w: no such node or topic can be", ErrNotDone)
	}
	if len(request) > MaxSize {
		return nil, fmt.Errorf("%w: it has %d bytes, %d are the most", ErrNotDone, len(request), MaxSize)
	}
	if c.life.Err() != nil { // a cancelled context alone loses the race against a fast answer
		return nil, fmt.Errorf("%w: this node asks nobody any more", ErrNotDone)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+node+"/"+topic, bytes.NewReader(request))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotDone, err)
	}
	by := c.usual
	if isUrgent(topic) {
		by = c.urgent
	}
	back, err := by.RoundTrip(r)
	if err != nil {
		if !connected.Load() {
			return nil, fmt.Errorf("%w: %w", ErrNotDone, err)
		}
		return nil, err
	}
	defer func() { _ = back.Body.Close() }()
	return read(node, back)
}

// read is what a response says.
func read(node string, back *http.Response) ([]byte, error) {
	if back.StatusCode == http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(back.Body, MaxSize+1))
		if err == nil && len(answer) > MaxSize {
			err = fmt.Errorf("the answer has more than %d bytes", MaxSize)
		}
		return answer, err
	}
	text, err := io.ReadAll(io.LimitReader(back.Body, maxText))
	if err != nil {
		return nil, err
	}
	if back.StatusCode == statusRefused {
		return nil, &Refusal{node, string(text)}
	}
	return nil, fmt.Errorf("%w: %s", ErrTurnedAway, strings.TrimSpace(string(text)))
}

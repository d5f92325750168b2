package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
)

// Config says where a node is and who calls. One of Socket and URL is needed.
type Config struct {
	// Socket is the path of the node's unix socket.
	Socket string
	// URL is https://HOST[:PORT]; nothing else, for tokens are secrets.
	URL string
	// Token is what calls are made with. On a socket it may be "": the node knows its own
	// user and root.
	Token string
	// RootCAs that the server of URL is held to; nil: the system's.
	RootCAs *x509.CertPool
}

// Client calls one node.
type Client struct {
	Policies api.PolicyServiceClient
	Cells    api.CellServiceClient
	Nodes    api.NodeServiceClient

	http *http.Transport
}

// maxAnswer is more than any answer of a node has.
const maxAnswer = cell.MaxMessageBytes + 1<<20

// New returns a client; it connects when it calls.
func New(c Config) (*Client, error) {
	base, transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	options := connect.WithClientOptions(connect.WithInterceptors(errorsOf{}, bearer(c.Token)), connect.WithReadMaxBytes(maxAnswer))
	caller := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("a node does not redirect") // nobody else gets the token
	}}
	return &Client{http: transport,
		Policies: api.NewPolicyServiceClient(caller, base, options), Cells: api.NewCellServiceClient(caller, base, options),
		Nodes: api.NewNodeServiceClient(caller, base, options)}, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c Config) transport() (base string, t *http.Transport, err error) {
	t = &http.Transport{MaxResponseHeaderBytes: 256 << 10, Protocols: new(http.Protocols)}
	switch {
	case (c.Socket == "") == (c.URL == ""):
		return "", nil, errors.New("client: name a socket or a URL, one of them")
	case c.Socket != "":
		t.Protocols.SetUnencryptedHTTP2(true)
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", c.Socket)
			if err != nil {
				return nil, &unreachableError{fmt.Errorf("connect to the node at %s: %w", c.Socket, err)}
			}
			return conn, nil
		}
		return "http://node", t, nil // the host is of no meaning
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", nil, fmt.Errorf("client: %q is not https://HOST[:PORT]", c.URL)
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: c.RootCAs}
	return c.URL, t, nil
}

// unreachableError is that nobody answers.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// Is makes it one of package fault's.
func (e *unreachableError) Is(target error) bool { return target == fault.ErrUnavailable }

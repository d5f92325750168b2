package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
)

// Config says where a node is and who calls. One of Address, Socket and URL is needed.
type Config struct {
	// Address is the node's as it is written for people: unix:///PATH, https://HOST[:PORT], or
	// for a node of this machine http://127.0.0.1:PORT.
	Address string
	// Socket is the path of the node's unix socket.
	Socket string
	// URL is https://HOST[:PORT]; nothing else, for tokens are secrets.
	URL string
	// Token is what calls are made with. On a socket it may be "": the node knows its own
	// user and root.
	Token string
	// RootCAs that a server at https:// is held to; nil: the system's.
	RootCAs *x509.CertPool
}

// Client calls one node.
type Client struct {
	Policies api.PolicyServiceClient
	Cells    api.CellServiceClient
	Nodes    api.NodeServiceClient
	Cluster  api.ClusterServiceClient

	http *http.Transport
}

// maxAnswer is more than any answer of a node has: to Recv, the largest message after smaller ones.
const maxAnswer = cell.MaxMessageBytes + 16<<20

// New returns a client; it connects when it calls.
func New(c Config) (*Client, error) {
	base, transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	options := connect.WithClientOptions(connect.WithInterceptors(errorsOf{}, headers{c.Token}), connect.WithReadMaxBytes(maxAnswer))
	caller := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("a node does not redirect") // nobody else gets the token
	}}
	return &Client{http: transport, Policies: api.NewPolicyServiceClient(caller, base, options),
		Cells: api.NewCellServiceClient(caller, base, options), Nodes: api.NewNodeServiceClient(caller, base, options),
		Cluster: api.NewClusterServiceClient(caller, base, options)}, nil
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c Config) transport() (base string, t *http.Transport, err error) {
	to, err := c.target()
	if err != nil {
		return "", nil, err
	}
	t = &http.Transport{MaxResponseHeaderBytes: 256 << 10, Protocols: new(http.Protocols), TLSHandshakeTimeout: 10 * time.Second}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if to.socket != "" {
			network, address = "unix", to.socket
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, &unreachableError{fmt.Errorf("connect to the node at %s: %w", to, err)}
		}
		return conn, nil
	}
	if !to.encrypted {
		t.Protocols.SetUnencryptedHTTP2(true)
		return to.base, t, nil
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs}
	return to.base, t, nil
}

// unreachableError is that nobody answers.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// Is makes it one of package fault's.
func (e *unreachableError) Is(target error) bool { return target == fault.ErrUnavailable }

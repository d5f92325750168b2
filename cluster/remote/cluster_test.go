package remote

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// cluster is a directory with the identities of nodes, and with the addresses of those that run.
type cluster struct {
	dir string
	// network, when not nil, is there instead of the wires.
	network func(ctx context.Context, node string) (net.Conn, error)
}

func newCluster(tb testing.TB, nodes ...string) *cluster {
	tb.Helper()
	c := &cluster{dir: tb.TempDir()}
	a, err := pki.Create("test")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range nodes {
		if err := c.admit(a, name); err != nil {
			tb.Fatal(err)
		}
	}
	return c
}

func (c *cluster) admit(a *pki.Authority, node string) error {
	request, err := pki.NewRequest(node)
	if err != nil {
		return err
	}
	cert, err := a.Sign(request.DER(), node, time.Hour)
	if err != nil {
		return err
	}
	identity, err := request.Accept(cert, a.Certificate())
	if err != nil {
		return err
	}
	return identity.Save(c.identityFile(node))
}

func (c *cluster) identityFile(node string) string { return filepath.Join(c.dir, node+".pem") }
func (c *cluster) addressFile(node string) string  { return filepath.Join(c.dir, node+".addr") }
func (c *cluster) peersFile() string               { return filepath.Join(c.dir, "peers") }

func (c *cluster) lookup(node string) (string, error) {
	address, err := os.ReadFile(c.addressFile(node))
	return string(address), err
}

// revoke has the nodes let a node in no more.
func (c *cluster) revoke(tb testing.TB, node string) {
	tb.Helper()
	if err := os.WriteFile(c.identityFile(node)+".revoked", nil, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func (c *cluster) allow(p pki.Peer) error {
	if _, err := os.Stat(c.identityFile(p.Name) + ".revoked"); err == nil {
		return errors.New("it is revoked")
	}
	return nil
}

// wire of a node, which it announces.
func (c *cluster) wire(node string) (*wire.Wire, error) {
	identity, err := pki.LoadIdentity(c.identityFile(node))
	if err != nil {
		return nil, err
	}
	w, err := wire.Listen(context.Background(), wire.Config{
		Identity: identity, Address: "127.0.0.1:0", Lookup: c.lookup, Allow: c.allow,
		Limits: wire.Limits{Rate: 1000, Burst: 1000, Recheck: 50 * time.Millisecond},
	})
	if err != nil {
		return nil, err
	}
	return w, os.WriteFile(c.addressFile(node), []byte(w.Addr().String()), 0o600)
}

// insider dials as a node with a certificate that has no Remote.
func (c *cluster) insider(tb testing.TB, node string) (dial func() net.Conn) {
	tb.Helper()
	w, err := c.wire(node)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.Close() })
	return func() net.Conn {
		tb.Helper()
		conn, err := w.Dial(soon(tb), "b", wire.Actors)
		if err != nil {
			tb.Fatal(err)
		}
		return conn
	}
}

package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pki is what package cluster/wire does for nodes, as far as this package needs it: TLS 1.3
// with certificates at both ends. Keys and addresses are in a directory.
type pki struct {
	dir string
	// wire, when not nil, is there instead of the network.
	wire func(ctx context.Context, node string) (net.Conn, error)
}

func newPKI(tb testing.TB, names ...string) *pki {
	tb.Helper()
	p := &pki{dir: tb.TempDir()}
	key, ca := p.write(tb, "ca", nil, nil, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	for _, name := range names {
		p.write(tb, name, key, ca, &x509.Certificate{
			URIs:        []*url.URL{{Scheme: "pyisolate", Host: "test", Path: "/node/" + name}},
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		})
	}
	return p
}

func (p *pki) write(tb testing.TB, name string, signer *ecdsa.PrivateKey, parent, c *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if signer == nil {
		signer, parent = key, c
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	if err := os.WriteFile(filepath.Join(p.dir, name+".pem"), both, 0o600); err != nil {
		tb.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	return key, c
}

func (p *pki) config(name string) (*tls.Config, error) {
	file := filepath.Join(p.dir, name+".pem")
	own, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(filepath.Join(p.dir, "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		CurvePreferences:   []tls.CurveID{tls.X25519MLKEM768},
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			return err
		},
	}, nil
}

// listen also says where.
func (p *pki) listen(name string) (net.Listener, error) {
	c, err := p.config(name)
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		return nil, err
	}
	return l, os.WriteFile(p.addressFile(name), []byte(l.Addr().String()), 0o600)
}

func (p *pki) address(name string) (string, error) {
	a, err := os.ReadFile(p.addressFile(name))
	return string(a), err
}

func (p *pki) dialer(self string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, node string) (net.Conn, error) {
		if p.wire != nil {
			return p.wire(ctx, node)
		}
		return p.dial(ctx, self, node)
	}
}

func (p *pki) dial(ctx context.Context, self, node string) (net.Conn, error) {
	address, err := p.address(node)
	if err != nil {
		return nil, err
	}
	c, err := p.config(self)
	if err != nil {
		return nil, err
	}
	conn, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if got, err := peerName(conn); got != node {
		_ = conn.Close()
		return nil, errors.Join(errors.New("it is not "+node), err)
	}
	return conn, nil
}

// peerName is Config.Peer.
func peerName(c net.Conn) (string, error) {
	conn, is := c.(*tls.Conn)
	if !is {
		return "", errors.New("it is not encrypted")
	}
	if err := conn.Handshake(); err != nil {
		return "", err
	}
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 || len(certs[0].URIs) != 1 {
		return "", errors.New("its certificate names no node")
	}
	return strings.TrimPrefix(certs[0].URIs[0].Path, "/node/"), nil
}

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
	"github.com/pyisolate/pyisolate/policystore/raftlog"
)

// nothing is a state that takes no notice of what is agreed on.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("there is no state") }
func (nothing) Restore(from io.ReadCloser) error    { return from.Close() }

// bareNode is a node of a group of Raft by itself: its log on the disk, its transport without TLS.
type bareNode struct {
	*raft.Raft
	log       *raftlog.Log
	transport *raft.NetworkTransport
}

func newBareNode(dir string) (n *bareNode, err error) {
	n = &bareNode{}
	if n.log, err = raftlog.Open(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	n.transport, err = raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
	if err != nil {
		return nil, errors.Join(err, n.log.Close())
	}
	return n, nil
}

func (n *bareNode) start(servers []raft.Server) (err error) {
	c := raft.DefaultConfig()
	c.LocalID, c.LogOutput, c.NoLegacyTelemetry = raft.ServerID(n.transport.LocalAddr()), io.Discard, true
	snaps := raft.NewInmemSnapshotStore()
	if err = raft.BootstrapCluster(c, n.log, n.log, snaps, n.transport, raft.Configuration{Servers: servers}); err == nil {
		n.Raft, err = raft.NewRaft(c, nothing{}, n.log, n.log, snaps, n.transport)
	}
	return err
}

func (n *bareNode) close() (err error) {
	if n.Raft != nil {
		err = n.Shutdown().Error()
	}
	return errors.Join(err, n.transport.Close(), n.log.Close())
}

// bareGroup is three of them.
type bareGroup struct {
	root  string
	nodes []*bareNode
}

// openBareGroup returns what the caller closes, whatever the error.
func openBareGroup() (g *bareGroup, err error) {
	g = &bareGroup{}
	if g.root, err = os.MkdirTemp("", "raft"); err != nil {
		return g, err
	}
	var servers []raft.Server
	for i := range 3 {
		dir := filepath.Join(g.root, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return g, err
		}
		n, err := newBareNode(dir)
		if err != nil {
			return g, err
		}
		address := n.transport.LocalAddr()
		g.nodes, servers = append(g.nodes, n), append(servers, raft.Server{ID: raft.ServerID(address), Address: address})
	}
	for _, n := range g.nodes {
		if err := n.start(servers); err != nil {
			return g, err
		}
	}
	return g, nil
}

func (g *bareGroup) close() (err error) {
	for _, n := range g.nodes {
		err = errors.Join(err, n.close())
	}
	return errors.Join(err, os.RemoveAll(g.root))
}

// leader waits for one.
func (g *bareGroup) leader(ctx context.Context) (leader *bareNode, err error) {
	if !fabrictest.Until(ctx, func() bool {
		i := slices.IndexFunc(g.nodes, func(n *bareNode) bool { return n.State() == raft.Leader })
		if i >= 0 {
			leader = g.nodes[i]
		}
		return i >= 0
	}) {
		return nil, errors.New("there is no leader")
	}
	return leader, nil
}

// bareRaft is how long three nodes of Raft in this process take to agree on as much as a policy has.
func bareRaft(ctx context.Context) (all []float64, err error) {
	g, err := openBareGroup()
	defer func() { err = errors.Join(err, g.close()) }()
	if err != nil {
		return nil, err
	}
	leader, err := g.leader(ctx)
	if err != nil {
		return nil, err
	}
	for range 300 {
		began := time.Now()
		if err := leader.Apply([]byte(talk), 10*time.Second).Error(); err != nil {
			return nil, err
		}
		all = append(all, float64(time.Since(began).Microseconds())/1e3)
	}
	return all, nil
}

// bareTLS is a kilobyte over a connection of TLS with certificates of both ends, in this process: half of there and back.
func bareTLS(ctx context.Context) (all []float64, err error) {
	config, err := bareCertificate()
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- echo(l) }()
	c, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close(), <-ended)
	}
	defer func() { err = errors.Join(err, c.Close(), l.Close(), <-ended) }()
	kilobyte := make([]byte, 1000)
	for range 2000 {
		began := time.Now()
		if _, err := c.Write(kilobyte); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, kilobyte); err != nil {
			return nil, err
		}
		all = append(all, float64(time.Since(began).Nanoseconds())/2e3)
	}
	return all, nil
}

// echo sends back what one client sends, until it has no more.
func echo(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = io.Copy(c, struct{ io.Reader }{c})
	return errors.Join(err, c.Close())
}

// bareCertificate is for both ends.
func bareCertificate() (*tls.Config, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(nil, ca, ca, public, private)
	if err != nil {
		return nil, err
	}
	if ca, err = x509.ParseCertificate(raw); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: private}}}, nil
}

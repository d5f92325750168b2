package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Allow tells why a certificate that is valid must not be let in, such as that it was revoked
// or that its node was removed. It is asked in every handshake, by several goroutines at once.
type Allow func(Peer) error

// base is what all configurations have in common. Without tickets each connection shows the
// certificates of its time.
func base() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		CurvePreferences:       []tls.CurveID{tls.X25519MLKEM768},
		SessionTicketsDisabled: true,
	}
}

// Server is for connections that nodes of the cluster make to this one. A nil allow lets all in.
// The caller sets NextProtos.
func Server(i *Identity, allow Allow) *tls.Config {
	c := base()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = pool(i.ca)
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.certificate(false), nil }
	c.VerifyConnection = func(s tls.ConnectionState) error { return i.verify(s, "", allow) }
	return c
}

// Client is for connections from this node to the node called name. A nil allow lets all in.
// The caller sets NextProtos.
func Client(i *Identity, name string, allow Allow) *tls.Config {
	c := base()
	c.RootCAs = pool(i.ca)
	c.ServerName = Node{i.node.Cluster, name}.host()
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.certificate(false), nil }
	c.VerifyConnection = func(s tls.ConnectionState) error { return i.verify(s, name, allow) }
	return c
}

// verify runs when the chain was verified. name is who it has to be, or empty.
func (i *Identity) verify(s tls.ConnectionState, name string, allow Allow) error {
	p, err := PeerIn(s)
	if err != nil {
		return err
	}
	if p.Cluster != i.node.Cluster {
		return fmt.Errorf("%w: %s, this is %s", ErrCluster, p.Node, i.node.Cluster)
	}
	if name != "" && p.Name != name {
		return fmt.Errorf("%w: %s, %s is meant", ErrName, p.Node, name)
	}
	if allow == nil {
		return nil
	}
	if err := allow(p); err != nil {
		return fmt.Errorf("%w: %s with serial %x: %w", ErrRevoked, p.Node, p.Serial, err)
	}
	return nil
}

// PeerIn is who is at the other end of a connection that was made with [Server] or [Client].
func PeerIn(s tls.ConnectionState) (Peer, error) {
	if len(s.PeerCertificates) == 0 {
		return Peer{}, fmt.Errorf("%w: there is none", ErrNoIdentity)
	}
	return PeerOf(s.PeerCertificates[0])
}

// JoinServer is for connections of those who have no certificate yet. It asks for none, and
// shows the authority's beside its own. Whoever connects is to be trusted with nothing but an
// attempt to show a [Token].
func JoinServer(i *Identity) *tls.Config {
	c := base()
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.certificate(true), nil }
	return c
}

// JoinClient is for one who has only a token: it lets in any node of the cluster whose
// authority has the token's fingerprint. After the handshake [AuthorityIn] is that authority.
func JoinClient(t Token) *tls.Config {
	c := base()
	// The authority comes with the handshake, and VerifyConnection does what is skipped here.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		ca, err := authorityIn(s, t)
		if err != nil {
			return err
		}
		leaf := s.PeerCertificates[0]
		opts := x509.VerifyOptions{Roots: pool(ca)}
		if c.Time != nil {
			opts.CurrentTime = c.Time()
		}
		if _, err := leaf.Verify(opts); err != nil {
			return fmt.Errorf("verify %s: %w", describe(leaf), err)
		}
		_, err = checkIssued(leaf, ca)
		return err
	}
	return c
}

// AuthorityIn is the authority's certificate, in DER, of a connection made with [JoinClient].
func AuthorityIn(s tls.ConnectionState, t Token) ([]byte, error) {
	ca, err := authorityIn(s, t)
	if err != nil {
		return nil, err
	}
	return ca.Raw, nil
}

func authorityIn(s tls.ConnectionState, t Token) (*x509.Certificate, error) {
	if len(s.PeerCertificates) != 2 {
		return nil, errors.Join(ErrFingerprint, fmt.Errorf("it shows %d certificates, 2 are right", len(s.PeerCertificates)))
	}
	ca := s.PeerCertificates[1]
	if got := fingerprint(ca); got != t.Authority {
		return nil, fmt.Errorf("%w: it is %x", ErrFingerprint, got[:8])
	}
	return ca, nil
}

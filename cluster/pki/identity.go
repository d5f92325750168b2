package pki

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Identity is a node's key and certificate, and the authority it trusts. It is safe for
// concurrent use; TLS configurations made from it show the certificate it has at the time.
type Identity struct {
	node Node
	ca   *x509.Certificate

	held atomic.Pointer[held]
	mu   sync.Mutex // one change at a time; guards what follows
	path string
	next *Request // of a renewal that has not succeeded yet
}

// held is what changes on renewal. It is not changed itself.
type held struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// Accept makes an identity of the answer to a request: the certificate and the authority's, in
// DER. It checks that the certificate is for this key and name, by this authority, and valid now.
func (r *Request) Accept(cert, authority []byte) (*Identity, error) {
	ca, err := x509.ParseCertificate(authority)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	cluster, err := clusterOf(ca)
	if err != nil {
		return nil, err
	}
	i := &Identity{node: Node{cluster, r.name}, ca: ca}
	if err := i.install(r.key, cert); err != nil {
		return nil, err
	}
	return i, nil
}

// LoadIdentity reads what [Identity.Save] wrote. One that has expired is loaded too: its holder
// is known, and its peers will refuse it.
func LoadIdentity(path string) (*Identity, error) {
	key, certs, err := load(path, 2)
	if err != nil {
		return nil, fmt.Errorf("load the node's identity: %w", err)
	}
	p, err := checkIssued(certs[0], certs[1])
	if err != nil {
		return nil, fmt.Errorf("load the node's identity from %s: %w", path, err)
	}
	i := &Identity{node: p.Node, ca: certs[1], path: path}
	i.held.Store(&held{key, certs[0]})
	return i, nil
}

// Save writes the identity to a file, in place of what was there. Renewals go there too, from
// now on.
func (i *Identity) Save(path string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	h := i.held.Load()
	if err := save(path, h.key, h.cert, i.ca); err != nil {
		return err
	}
	i.path = path
	return nil
}

// Reload takes up what is in the file it was last saved to or loaded from. It must be an
// identity of the same node and authority.
func (i *Identity) Reload() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.path == "" {
		return fmt.Errorf("reload the identity of %s: it has no file; save it first", i.node.Name)
	}
	fresh, err := LoadIdentity(i.path)
	if err != nil {
		return err
	}
	if fresh.node != i.node || !fresh.ca.Equal(i.ca) {
		return fmt.Errorf("reload the identity of %s: %w: %s has that of %s; restart the node to take it", i.node, ErrName, i.path, fresh.node)
	}
	i.held.Store(fresh.held.Load())
	return nil
}

// Name of the node.
func (i *Identity) Name() string { return i.node.Name }

// Cluster is the id of its cluster.
func (i *Identity) Cluster() string { return i.node.Cluster }

// Serial of the certificate it has.
func (i *Identity) Serial() *big.Int { return new(big.Int).Set(i.held.Load().cert.SerialNumber) }

// NotAfter is when the certificate expires.
func (i *Identity) NotAfter() time.Time { return i.held.Load().cert.NotAfter }

// RenewAt is when the certificate should be renewed: after two thirds of its life.
func (i *Identity) RenewAt() time.Time {
	c := i.held.Load().cert
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}

// Authority is the authority's certificate, in DER.
func (i *Identity) Authority() []byte { return bytes.Clone(i.ca.Raw) }

// Fingerprint of that certificate, for tokens.
func (i *Identity) Fingerprint() Fingerprint { return fingerprint(i.ca) }

// Key is the hash of the node's public key, as [KeyOf] told it of the request.
func (i *Identity) Key() [sha256.Size]byte {
	return sha256.Sum256(i.held.Load().cert.RawSubjectPublicKeyInfo)
}

// Renew gets a certificate for a fresh key: sign has the request signed by the authority, for
// the name of this node, and gives the certificate in DER. If the identity has a file, it is
// there before it is used, and so is the key before anybody is shown it. On an error the identity is as it
// was, and the next call shows the same key, also after a restart: who notes the keys that it is shown
// has one more to note, however often it comes to nothing.
func (i *Identity) Renew(ctx context.Context, sign func(ctx context.Context, request []byte) ([]byte, error)) error {
	r, err := i.request()
	var cert []byte
	if err == nil {
		cert, err = sign(ctx, r.DER())
	}
	if err != nil {
		return fmt.Errorf("renew the certificate of %s, which lasts until %s: %w", i.node.Name, i.NotAfter().Format(time.RFC3339), err)
	}
	return i.install(r.key, cert)
}

// request is that of the last renewal if it has come to nothing, or a new one.
func (i *Identity) request() (*Request, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.next != nil {
		return i.next, nil
	}
	r, err := i.requestOnDisk()
	if r == nil && err == nil {
		r, err = i.newRequest()
	}
	if err != nil {
		return nil, err
	}
	i.next = r
	return r, nil
}

// requestOnDisk is the one that is beside the identity, or nil. There is no use for one that is damaged, or that
// a renewal has left which succeeded.
func (i *Identity) requestOnDisk() (*Request, error) {
	if i.path == "" {
		return nil, nil
	}
	r, err := LoadRequest(nextPath(i.path), i.node.Name)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, ErrFile), err == nil && r.key.Equal(i.held.Load().key):
		return nil, nil
	}
	return r, err
}

func (i *Identity) newRequest() (*Request, error) {
	r, err := NewRequest(i.node.Name)
	if err == nil && i.path != "" {
		err = r.Save(nextPath(i.path))
	}
	return r, err
}

// nextPath is where the key of a renewal is until its certificate is there.
func nextPath(identity string) string { return identity + ".next" }

// install takes up a key and the certificate for it.
func (i *Identity) install(key *ecdsa.PrivateKey, der []byte) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("read the certificate for %s: %w", i.node.Name, err)
	}
	if err := i.check(key, cert); err != nil {
		return fmt.Errorf("take up %s for %s: %w", describe(cert), i.node, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.path != "" {
		if err := save(i.path, key, cert, i.ca); err != nil {
			return err
		}
	}
	i.held.Store(&held{key, cert})
	if i.next != nil && i.next.key.Equal(key) {
		i.next = nil
		if i.path != "" {
			_ = os.Remove(nextPath(i.path)) // or it is known by its key that it has no use
		}
	}
	return nil
}

// check tells why a certificate is not one for this node and key.
func (i *Identity) check(key *ecdsa.PrivateKey, cert *x509.Certificate) error {
	p, err := checkIssued(cert, i.ca)
	if err != nil {
		return err
	}
	if p.Node != i.node {
		return fmt.Errorf("%w: %s", ErrName, p.Node)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return errors.New("it is for another key")
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: pool(i.ca), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// checkIssued is who a certificate is for, if the authority signed it for its cluster.
func checkIssued(cert, ca *x509.Certificate) (Peer, error) {
	cluster, err := clusterOf(ca)
	if err != nil {
		return Peer{}, err
	}
	if err := cert.CheckSignatureFrom(ca); err != nil {
		return Peer{}, fmt.Errorf("%s is not signed by the authority of cluster %s: %w", describe(cert), cluster, err)
	}
	p, err := PeerOf(cert)
	if err == nil && p.Cluster != cluster {
		err = fmt.Errorf("%w: %s is of cluster %s, the authority of %s", ErrCluster, describe(cert), p.Cluster, cluster)
	}
	return p, err
}

func pool(ca *x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca)
	return p
}

// certificate is what TLS shows. The authority's own goes along for those who only have its
// fingerprint.
func (i *Identity) certificate(withAuthority bool) *tls.Certificate {
	h := i.held.Load()
	chain := [][]byte{h.cert.Raw}
	if withAuthority {
		chain = append(chain, i.ca.Raw)
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: h.key, Leaf: h.cert}
}

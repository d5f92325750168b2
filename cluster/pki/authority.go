package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

const (
	// DefaultLife of a node's certificate. A node that is away for longer has to join again.
	DefaultLife = 90 * 24 * time.Hour
	// MinLife is the shortest that [Authority.Sign] grants.
	MinLife = time.Minute
	// MaxLife is the longest.
	MaxLife = 366 * 24 * time.Hour

	authorityLife = 20 * 365 * 24 * time.Hour
	// backdate is by how much the clocks of a cluster may differ.
	backdate   = 5 * time.Minute
	serialSize = 16 // bytes
)

// Fingerprint of a certificate: SHA-256 of its DER form.
type Fingerprint [sha256.Size]byte

func fingerprint(c *x509.Certificate) Fingerprint { return sha256.Sum256(c.Raw) }

// Authority signs certificates for the nodes of one cluster. Its methods may be called from
// several goroutines.
type Authority struct {
	key     *ecdsa.PrivateKey
	cert    *x509.Certificate
	cluster string
}

// Create makes the authority of a new cluster, with a random id. The cluster's name is for
// people: it is in the certificate's subject, of 1 to 63 bytes, and nothing depends on it.
func Create(clusterName string) (*Authority, error) { return create(clusterName, time.Now()) }

func create(clusterName string, now time.Time) (*Authority, error) {
	if clusterName == "" || len(clusterName) > MaxName {
		return nil, fmt.Errorf("name a cluster %.80q: 1 to %d bytes are right", clusterName, MaxName)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	cluster := newCluster()
	cert, err := issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: clusterName},
		URIs:                  []*url.URL{{Scheme: scheme, Host: cluster}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs nodes, not other authorities
		KeyUsage:              x509.KeyUsageCertSign,
	}, nil, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority's certificate: %w", err)
	}
	return &Authority{key, cert, cluster}, nil
}

// LoadAuthority reads what [Authority.Save] wrote.
func LoadAuthority(path string) (*Authority, error) {
	key, certs, err := load(path, 1)
	if err != nil {
		return nil, fmt.Errorf("load the authority: %w", err)
	}
	cluster, err := clusterOf(certs[0])
	if err != nil {
		return nil, fmt.Errorf("load the authority from %s: %w", path, err)
	}
	return &Authority{key, certs[0], cluster}, nil
}

// DecodeAuthority reads what [Authority.Encode] made. The error is [ErrFile].
func DecodeAuthority(text []byte) (*Authority, error) {
	key, certs, err := decode(text)
	if err == nil {
		err = belong(key, certs, 1)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the authority: %w", ErrFile, err)
	}
	cluster, err := clusterOf(certs[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return &Authority{key, certs[0], cluster}, nil
}

// Encode is key and certificate, as [Authority.Save] writes them. Whoever has it decides who is a
// node.
func (a *Authority) Encode() ([]byte, error) { return encode(a.key, a.cert) }

// Save writes key and certificate to a file, in place of what was there.
func (a *Authority) Save(path string) error { return save(path, a.key, a.cert) }

// Cluster is the id of the cluster.
func (a *Authority) Cluster() string { return a.cluster }

// Certificate is the authority's own, in DER. It is public.
func (a *Authority) Certificate() []byte { return bytes.Clone(a.cert.Raw) }

// Fingerprint is what a [Token] carries of the certificate.
func (a *Authority) Fingerprint() Fingerprint { return fingerprint(a.cert) }

// Sign makes a certificate, in DER, for the key of a request and a name that the caller has
// decided on: of the request nothing but its key counts, and that it was signed by it. life is
// between [MinLife] and [MaxLife], and ends with the authority's at the latest.
func (a *Authority) Sign(request []byte, name string, life time.Duration) ([]byte, error) {
	return a.sign(request, name, life, time.Now())
}

func (a *Authority) sign(request []byte, name string, life time.Duration, now time.Time) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if life < MinLife || life > MaxLife {
		return nil, fmt.Errorf("sign a certificate for %s that lasts %s: %s to %s is right", name, life, MinLife, MaxLife)
	}
	key, err := requestKey(request)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", name, err)
	}
	n := Node{a.cluster, name}
	until := now.Add(life)
	if until.After(a.cert.NotAfter) {
		until = a.cert.NotAfter
	}
	cert, err := issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		URIs:                  []*url.URL{n.uri()},
		DNSNames:              []string{n.host()},
		NotBefore:             now.Add(-backdate),
		NotAfter:              until,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", name, err)
	}
	return cert.Raw, nil
}

// issue signs a certificate, by itself if there is no parent.
func issue(t, parent *x509.Certificate, key *ecdsa.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	var serial [serialSize]byte
	_, _ = rand.Read(serial[:])
	serial[0] = serial[0]&0x7f | 0x40 // positive, and as long as the others
	t.SerialNumber = new(big.Int).SetBytes(serial[:])
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

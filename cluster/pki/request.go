package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
)

// maxRequest is the largest request that is looked at, in bytes. Ours have about 220.
const maxRequest = 4 << 10

// Request is a node's wish for a certificate, and the key that stays with it.
type Request struct {
	name string
	key  *ecdsa.PrivateKey
	der  []byte
}

// NewRequest makes a key and a request for it. The name is only for whoever reads it.
func NewRequest(name string) (*Request, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", name, err)
	}
	return requestOf(name, key)
}

// LoadRequest makes a request again for a key that [Request.Save] wrote. Without a file the error is
// fs.ErrNotExist.
func LoadRequest(path, name string) (*Request, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	key, _, err := load(path, 0)
	if err != nil {
		return nil, fmt.Errorf("load the key of a request: %w", err)
	}
	return requestOf(name, key)
}

// Save writes the key to a file, so that whoever has to ask again, shows the same one.
func (r *Request) Save(path string) error { return save(path, r.key) }

func requestOf(name string, key *ecdsa.PrivateKey) (*Request, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make a request for %s: %w", name, err)
	}
	return &Request{name, key, der}, nil
}

// Name that it is for.
func (r *Request) Name() string { return r.name }

// DER is what goes to the authority, PKCS #10.
func (r *Request) DER() []byte { return r.der }

// requestKey is the key that a request is for and signed by.
func requestKey(der []byte) (*ecdsa.PublicKey, error) {
	if len(der) > maxRequest {
		return nil, fmt.Errorf("%w: it has %d bytes, %d are the most", ErrRequest, len(der), maxRequest)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: its key is %s, ECDSA on P-256 is right", ErrRequest, r.PublicKeyAlgorithm)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return key, nil
}

// KeyOf tells requests of one key from those of others: SHA-256 of the key that a request is
// for. The error is [ErrRequest].
func KeyOf(request []byte) ([sha256.Size]byte, error) {
	key, err := requestKey(request)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return sha256.Sum256(der), nil
}

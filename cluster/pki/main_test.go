package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newAuthority(t testing.TB) *Authority {
	t.Helper()
	a, err := Create("test")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newIdentity makes a node's identity, signed now.
func newIdentity(t testing.TB, a *Authority, name string) *Identity {
	t.Helper()
	r, err := NewRequest(name)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(r.DER(), name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	i, err := r.Accept(cert, a.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// forge makes an identity that Accept would refuse: it shows a certificate whatever it says.
func forge(t testing.TB, ca *x509.Certificate, signer *ecdsa.PrivateKey, n Node, change func(*x509.Certificate)) *Identity {
	t.Helper()
	r, err := NewRequest("forged")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	like := &x509.Certificate{
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{n.host()},
	}
	like.URIs = append(like.URIs, n.uri())
	if change != nil {
		change(like)
	}
	cert, err := issue(like, ca, &r.key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	i := &Identity{node: n, ca: ca}
	i.held.Store(&held{r.key, cert})
	return i
}

func path(t testing.TB) string { return filepath.Join(t.TempDir(), "keys.pem") }

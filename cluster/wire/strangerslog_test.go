package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/logged"
)

// forged is a certificate, and that of an authority that has not signed it, with a name of so many bytes.
func forged(t *testing.T, name int) tls.Certificate {
	t.Helper()
	var chain tls.Certificate
	issuer := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: strings.Repeat("7", name)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, c := range []*x509.Certificate{leaf, issuer} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer := key
		if c == leaf {
			chain.PrivateKey = key
			if signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
				t.Fatal(err)
			}
		}
		der, err := x509.CreateCertificate(rand.Reader, c, issuer, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		chain.Certificate = append(chain.Certificate, der)
	}
	return chain
}

// What a stranger's certificates are called is cut before it is logged.
func TestStrangersLogLittle(t *testing.T) {
	var log logged.Text
	f := newFabric(t)
	w, err := Listen(t.Context(), Config{
		Identity: identity(t, f.authority, "one"), Address: "127.0.0.1:0", Lookup: f.lookup, Allow: f.allow, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	shown := forged(t, 50<<10)
	err = knock(t.Context(), w.Addr().String(), &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, // whoever attacks does not care whom
		NextProtos: []string{Directory.alpn()}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil },
	})
	if err == nil {
		t.Fatal("it was let in")
	}
	await.That(t, "the refusal to be logged", func() bool { return strings.HasSuffix(log.String(), "\n") })
	if n := len(log.String()); n > 1<<10 {
		t.Errorf("%d bytes are logged: %.300s", n, log.String())
	}
}

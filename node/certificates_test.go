package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
)

// writeCertificate makes a certificate for this machine, which signs itself, and its key.
func writeCertificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	rewriteCertificate(t, name, cert, key)
	return cert, key
}

func rewriteCertificate(t *testing.T, name, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// shown is the name on the certificate that new connections get.
func shown(t *testing.T, c *certificates) string {
	t.Helper()
	pair, err := c.config().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.Subject.CommonName
}

func TestCertificatesAreReloaded(t *testing.T) {
	cert, key := writeCertificate(t, "first")
	c, err := openCertificates(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if got := shown(t, c); got != "first" {
		t.Fatalf("it shows %s", got)
	}
	rewriteCertificate(t, "second", cert, key)
	if err := c.load(); err != nil || shown(t, c) != "second" {
		t.Errorf("after a reload it shows %s, %v", shown(t, c), err)
	}
	if err := os.WriteFile(cert, []byte("half of one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.load(); err == nil || shown(t, c) != "second" {
		t.Errorf("of a broken file it shows %s, %v", shown(t, c), err)
	}
}

func TestCertificatesThatChangeAreTaken(t *testing.T) {
	cert, key := writeCertificate(t, "first")
	c, err := openCertificates(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.close() // and watch more often
	c.done = make(chan struct{})
	go c.watch(t.Context(), time.Millisecond)
	rewriteCertificate(t, "second", cert, key)
	await.That(t, "the new certificate is shown", func() bool { return shown(t, c) == "second" })
	t.Cleanup(func() { <-c.done })
}

func TestOldTLSIsRefused(t *testing.T) {
	cert, key := writeCertificate(t, "node")
	c, err := openCertificates(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			_ = conn.Close()
		}
	}()
	for version, taken := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if (err == nil) != taken {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	_ = l.Close()
	<-done
}

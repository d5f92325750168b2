package pki

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signer is the authority as Renew wants it.
func signer(a *Authority, name string) func(context.Context, []byte) ([]byte, error) {
	return func(_ context.Context, request []byte) ([]byte, error) { return a.Sign(request, name, time.Hour) }
}

func TestAuthoritySaved(t *testing.T) {
	a, file := newAuthority(t), path(t)
	if err := a.Save(file); err != nil {
		t.Fatal(err)
	}
	b, err := LoadAuthority(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.Cluster() != a.Cluster() || b.Fingerprint() != a.Fingerprint() || !bytes.Equal(b.Certificate(), a.Certificate()) {
		t.Error("another authority came back")
	}
	one, two := newIdentity(t, a, "one"), newIdentity(t, b, "two")
	if _, atServer, atClient := meet(t, Server(one, nil), Client(two, "one", nil)); atServer != nil || atClient != nil {
		t.Error(atServer, atClient)
	}
	if _, err := LoadIdentity(file); !errors.Is(err, ErrFile) {
		t.Errorf("an authority as identity: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if a.Cluster() == newAuthority(t).Cluster() {
		t.Error("two clusters have the same id")
	}
	for _, name := range []string{"", strings.Repeat("c", 64)} {
		if _, err := Create(name); err == nil {
			t.Errorf("%q: made", name)
		}
	}
}

func TestIdentitySaved(t *testing.T) {
	a, file := newAuthority(t), path(t)
	i := newIdentity(t, a, "one")
	if err := i.Reload(); err == nil {
		t.Error("reloaded from nowhere")
	}
	if err := i.Save(file); err != nil {
		t.Fatal(err)
	}
	j, err := LoadIdentity(file)
	if err != nil {
		t.Fatal(err)
	}
	if j.Name() != "one" || j.Cluster() != a.Cluster() || j.Serial().Cmp(i.Serial()) != 0 || !bytes.Equal(j.Authority(), a.Certificate()) {
		t.Error("another identity came back")
	}
	if err := i.Renew(t.Context(), signer(a, "one")); err != nil {
		t.Fatal(err)
	}
	if i.Serial().Cmp(j.Serial()) == 0 {
		t.Error("renewal changed nothing")
	}
	if err := j.Reload(); err != nil || j.Serial().Cmp(i.Serial()) != 0 {
		t.Errorf("reload: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := newIdentity(t, a, "two").Save(file); err != nil {
		t.Fatal(err)
	}
	if err := j.Reload(); !errors.Is(err, ErrName) || j.Serial().Cmp(i.Serial()) != 0 {
		t.Errorf("another node's: %v", err)
	}
}

func TestRenewFails(t *testing.T) {
	a, file := newAuthority(t), path(t)
	i := newIdentity(t, a, "one")
	if err := i.Save(file); err != nil {
		t.Fatal(err)
	}
	before, serial := must(os.ReadFile(file))(t), i.Serial()
	other := must(NewRequest("one"))(t)
	for name, c := range map[string]struct {
		sign func(context.Context, []byte) ([]byte, error)
		says string
	}{
		"nobody signs":      {func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no leader") }, "no leader"},
		"another name":      {signer(a, "two"), "another node"},
		"another authority": {signer(newAuthority(t), "one"), "not signed by the authority"},
		"another key":       {func(ctx context.Context, _ []byte) ([]byte, error) { return signer(a, "one")(ctx, other.DER()) }, "another key"},
		"garbage":           {func(context.Context, []byte) ([]byte, error) { return []byte("x"), nil }, "read the certificate"},
		"expired": {func(_ context.Context, r []byte) ([]byte, error) {
			return a.sign(r, "one", time.Minute, time.Now().Add(-time.Hour))
		}, "expired"},
	} {
		err := i.Renew(t.Context(), c.sign)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if i.Serial().Cmp(serial) != 0 || !bytes.Equal(must(os.ReadFile(file))(t), before) {
			t.Errorf("%s: it changed", name)
		}
	}
	// Nothing is used that is not on the disk.
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	if err := i.Renew(t.Context(), signer(a, "one")); err == nil || i.Serial().Cmp(serial) != 0 {
		t.Errorf("without a directory: %v", err)
	}
}

// However often a renewal comes to nothing, and whatever ends in between, one key is shown, and none that is not on
// the disk.
func TestRenewShowsOneKey(t *testing.T) {
	a, file := newAuthority(t), path(t)
	i := newIdentity(t, a, "one")
	if err := i.Save(file); err != nil {
		t.Fatal(err)
	}
	var shown [][sha256.Size]byte
	sign := func(ctx context.Context, request []byte) ([]byte, error) {
		shown = append(shown, must(KeyOf(request))(t))
		return signer(a, "one")(ctx, request)
	}
	block := func(path string) (end func()) { // nothing is written there
		if err := os.MkdirAll(filepath.Join(path+".new", "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.RemoveAll(path + ".new"); err != nil {
				t.Fatal(err)
			}
		}
	}
	fail := func() {
		t.Helper()
		if err := i.Renew(t.Context(), sign); err == nil {
			t.Error("renewed without a disk")
		}
	}

	end := block(nextPath(file))
	fail()
	if len(shown) != 0 {
		t.Error("a key was shown that is not on the disk")
	}
	end()
	end = block(file)
	fail()
	fail()
	i = must(LoadIdentity(file))(t)
	fail()
	end()
	before := i.Key()
	if err := i.Renew(t.Context(), sign); err != nil {
		t.Fatal(err)
	}
	for _, key := range shown {
		if key != i.Key() || key == before {
			t.Errorf("%x was shown, then %x", key, i.Key())
		}
	}
	if len(shown) != 4 {
		t.Errorf("%d requests", len(shown))
	}
	if _, err := os.Stat(nextPath(file)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its key is there twice: %v", err)
	}
}

// What is beside an identity and is of no use is replaced: the key that it has by now, for the node died in
// between, and what cannot be read.
func TestRenewWithWhatIsLeft(t *testing.T) {
	a, file := newAuthority(t), path(t)
	i := newIdentity(t, a, "one")
	if err := i.Save(file); err != nil {
		t.Fatal(err)
	}
	for name, leave := range map[string]func() error{
		"its own key": func() error { return save(nextPath(file), i.held.Load().key) },
		"half a file": func() error { return os.WriteFile(nextPath(file), []byte("half"), 0o600) },
	} {
		before := i.Key()
		if err := leave(); err != nil {
			t.Fatal(err)
		}
		if err := i.Renew(t.Context(), signer(a, "one")); err != nil || i.Key() == before {
			t.Errorf("%s: %v; the key is the same: %v", name, err, i.Key() == before)
		}
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestRenewAt(t *testing.T) {
	i := newIdentity(t, newAuthority(t), "one")
	c := i.held.Load().cert
	whole, part := c.NotAfter.Sub(c.NotBefore), i.RenewAt().Sub(c.NotBefore)
	if d := whole*2/3 - part; d < -time.Second || d > time.Second {
		t.Errorf("after %s of %s", part, whole)
	}
}

func TestFiles(t *testing.T) {
	a := newAuthority(t)
	i, j := path(t), path(t)
	if err := errors.Join(newIdentity(t, a, "one").Save(i), newIdentity(t, a, "two").Save(j)); err != nil {
		t.Fatal(err)
	}
	good, other := must(os.ReadFile(i))(t), must(os.ReadFile(j))(t)
	cut := bytes.Index(good, []byte("-----BEGIN CERTIFICATE"))
	otherCut := bytes.Index(other, []byte("-----BEGIN CERTIFICATE"))
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	for name, text := range map[string][]byte{
		"empty":            {},
		"no key":           good[cut:],
		"half":             good[:len(good)/2],
		"key alone":        good[:cut],
		"the other's key":  append(bytes.Clone(other[:otherCut]), good[cut:]...),
		"ed25519":          append(pemKey(t, edKey), good[cut:]...),
		"garbage":          bytes.Repeat([]byte("x"), maxFile+1),
		"damaged":          bytes.Replace(good, []byte("MII"), []byte("AAA"), 1),
		"twice":            append(bytes.Clone(good), good...),
		"after what is it": append(bytes.Clone(good), good[cut:]...),
	} {
		if err := os.WriteFile(i, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIdentity(i); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), i) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(os.WriteFile(i, good, 0o600), os.Chmod(i, 0o640)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(i); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "0640") {
		t.Errorf("readable by others: %v", err)
	}
	if _, err := LoadIdentity(path(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(i, 0o600), os.Chown(i, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIdentity(i); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "user 65534") {
			t.Errorf("of another user: %v", err)
		}
	}
	// What a crash left behind is in nobody's way.
	if err := os.WriteFile(i+".new", []byte("half"), 0o400); err != nil {
		t.Fatal(err)
	}
	foreign := forge(t, a.cert, a.key, Node{newCluster(), "one"}, nil)
	if err := foreign.Save(i); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(i); !errors.Is(err, ErrCluster) {
		t.Errorf("of another cluster: %v", err)
	}
}

func TestSign(t *testing.T) {
	a := newAuthority(t)
	r := must(NewRequest("one"))(t).DER()
	tampered := bytes.Clone(r)
	tampered[len(tampered)-1] ^= 1
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	big := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: slicesOf(1000, "n.example")}, p384))(t)
	for name, c := range map[string]struct {
		request []byte
		name    string
		life    time.Duration
		is      error
	}{
		"name":      {r, "One", time.Hour, nil},
		"no name":   {r, "", time.Hour, nil},
		"short":     {r, "one", MinLife - 1, nil},
		"long":      {r, "one", MaxLife + 1, nil},
		"garbage":   {[]byte("x"), "one", time.Hour, ErrRequest},
		"signature": {tampered, "one", time.Hour, ErrRequest},
		"curve":     {must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, p384))(t), "one", time.Hour, ErrRequest},
		"ed25519":   {must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, edKey))(t), "one", time.Hour, ErrRequest},
		"size":      {big, "one", time.Hour, ErrRequest},
	} {
		if _, err := a.Sign(c.request, c.name, c.life); err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a request asks for beyond its key is not in the certificate.
	greedy := must(NewRequest("two"))(t)
	greedy.der = must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"one." + a.cluster + ".pyisolate"}}, greedy.key))(t)
	c := must(x509.ParseCertificate(must(a.Sign(greedy.der, "two", time.Hour))(t)))(t)
	if len(c.DNSNames) != 1 || c.DNSNames[0] != (Node{a.cluster, "two"}).host() || c.IsCA {
		t.Errorf("%v", c.DNSNames)
	}
	late, err := a.sign(r, "one", time.Hour, a.cert.NotAfter.Add(-time.Minute))
	if c := must(x509.ParseCertificate(late))(t); err != nil || !c.NotAfter.Equal(a.cert.NotAfter) {
		t.Errorf("it outlives the authority: %s, %v", c.NotAfter, err)
	}
}

func BenchmarkSign(b *testing.B) {
	a := newAuthority(b)
	r := must(NewRequest("one"))(b).DER()
	for b.Loop() {
		if _, err := a.Sign(r, "one", time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

func slicesOf(n int, s string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

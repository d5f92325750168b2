package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// meet has a client and a server shake hands on loopback, and tells what each says. The client
// also waits for a byte: a server judges it when its own handshake is over.
func meet(t testing.TB, server, client *tls.Config) (state tls.ConnectionState, atServer, atClient error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	judged := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			judged <- err
			return
		}
		c := tls.Server(raw, server)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if err = c.HandshakeContext(t.Context()); err == nil {
			_, err = c.Write([]byte{1})
		}
		_ = c.Close()
		judged <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, client)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if atClient = c.HandshakeContext(t.Context()); atClient == nil {
		_, atClient = io.ReadFull(c, make([]byte, 1))
		state = c.ConnectionState()
	}
	_ = c.Close()
	return state, <-judged, atClient
}

func TestNodesMeet(t *testing.T) {
	a := newAuthority(t)
	one, two := newIdentity(t, a, "one"), newIdentity(t, a, "two")
	var seen string
	allow := func(p Peer) error {
		if p.Serial.Cmp(two.Serial()) != 0 {
			t.Errorf("serial %x, %x is shown", p.Serial, two.Serial())
		}
		seen = p.Name
		return nil
	}
	s, atServer, atClient := meet(t, Server(one, allow), Client(two, "one", nil))
	if atServer != nil || atClient != nil || seen != "two" {
		t.Fatal(atServer, atClient, seen)
	}
	if s.Version != tls.VersionTLS13 || s.CurveID != tls.X25519MLKEM768 || s.DidResume {
		t.Errorf("version %x, key exchange %s, resumed %v", s.Version, s.CurveID, s.DidResume)
	}
	if p, err := PeerIn(s); err != nil || p.Name != "one" || p.Cluster != a.Cluster() || !p.NotAfter.Equal(one.NotAfter()) {
		t.Errorf("%+v, %v", p, err)
	}
	for _, name := range []string{"-", "a-", "-1", strings.Repeat("n", MaxName)} {
		if _, atServer, atClient := meet(t, Server(newIdentity(t, a, name), nil), Client(two, name, nil)); atServer != nil || atClient != nil {
			t.Errorf("%s: %v, %v", name, atServer, atClient)
		}
	}
}

// strangers are identities that a node called one must not take for its peer "two". The
// errors are those that the node gives.
func strangers(t *testing.T, a *Authority) map[string]struct {
	peer *Identity
	says string
	is   error
} {
	other := newAuthority(t)
	two := Node{a.cluster, "two"}
	past := time.Now().Add(-2 * time.Hour)
	leaf := newIdentity(t, a, "leaf").held.Load()
	return map[string]struct {
		peer *Identity
		says string
		is   error
	}{
		"another authority": {newIdentity(t, other, "two"), "x509: certificate", nil},
		"another authority, same cluster id": {
			forge(t, other.cert, other.key, two, nil), "unknown authority", nil},
		"signed by itself": {forge(t, nil, leaf.key, two, nil), "unknown authority", nil},
		"signed by a node": {forge(t, leaf.cert, leaf.key, two, nil), "unknown authority", nil},
		"another cluster": {
			forge(t, a.cert, a.key, two, func(c *x509.Certificate) {
				c.URIs = []*url.URL{Node{other.cluster, "two"}.uri()}
			}), "", ErrCluster},
		"expired": {
			forge(t, a.cert, a.key, two, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past, past.Add(time.Hour) }),
			"expired", nil},
		"not yet valid": {
			forge(t, a.cert, a.key, two, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour / 2) }),
			"not yet valid", nil},
		"no URI": {forge(t, a.cert, a.key, two, func(c *x509.Certificate) { c.URIs = nil }), "has 0 URIs", ErrNoIdentity},
		"two URIs": {
			forge(t, a.cert, a.key, two, func(c *x509.Certificate) { c.URIs = append(c.URIs, Node{a.cluster, "one"}.uri()) }),
			"has 2 URIs", ErrNoIdentity},
		"another URI": {
			forge(t, a.cert, a.key, two, func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "two"}} }),
			"", ErrNoIdentity},
		"for another use": {
			forge(t, a.cert, a.key, two, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }),
			"key usage", nil},
	}
}

func TestStrangers(t *testing.T) {
	a := newAuthority(t)
	one := newIdentity(t, a, "one")
	for name, c := range strangers(t, a) {
		check := func(side string, own, peer error) {
			if own == nil || peer == nil || !strings.Contains(own.Error(), c.says) || c.is != nil && !errors.Is(own, c.is) {
				t.Errorf("%s, %s: it says %v, the stranger hears %v", name, side, own, peer)
			}
		}
		// The stranger trusts this cluster's authority, so that it is only itself at fault.
		c.peer.ca, c.peer.node.Cluster = a.cert, a.cluster
		_, atServer, atClient := meet(t, Server(one, nil), Client(c.peer, "one", nil))
		check("connecting", atServer, atClient)
		_, atServer, atClient = meet(t, Server(c.peer, nil), Client(one, "two", nil))
		check("answering", atClient, atServer)
	}
}

func TestAnotherName(t *testing.T) {
	a := newAuthority(t)
	one, two, three := newIdentity(t, a, "one"), newIdentity(t, a, "two"), newIdentity(t, a, "three")
	_, _, atClient := meet(t, Server(three, nil), Client(one, "two", nil))
	if want := "not two."; atClient == nil || !strings.Contains(atClient.Error(), want) {
		t.Errorf("%v, %q is right", atClient, want)
	}
	// The name for TLS is right, the identity is not.
	liar := forge(t, a.cert, a.key, Node{a.cluster, "two"}, func(c *x509.Certificate) {
		c.URIs = []*url.URL{Node{a.cluster, "three"}.uri()}
	})
	if _, _, atClient := meet(t, Server(liar, nil), Client(one, "two", nil)); !errors.Is(atClient, ErrName) {
		t.Errorf("%v", atClient)
	}
	if _, atServer, atClient := meet(t, Server(two, nil), Client(one, "two", nil)); atServer != nil || atClient != nil {
		t.Errorf("%v, %v", atServer, atClient)
	}
}

func TestRevoked(t *testing.T) {
	a := newAuthority(t)
	one, two := newIdentity(t, a, "one"), newIdentity(t, a, "two")
	gone := errors.New("removed on Tuesday")
	bad := two.Serial()
	allow := func(p Peer) error {
		if p.Serial.Cmp(bad) == 0 {
			return gone
		}
		return nil
	}
	_, atServer, atClient := meet(t, Server(one, allow), Client(two, "one", nil))
	if !errors.Is(atServer, ErrRevoked) || !errors.Is(atServer, gone) || atClient == nil {
		t.Errorf("connecting: %v, %v", atServer, atClient)
	}
	if _, _, atClient = meet(t, Server(two, nil), Client(one, "two", allow)); !errors.Is(atClient, ErrRevoked) || !errors.Is(atClient, gone) {
		t.Errorf("answering: %v", atClient)
	}
	// The same node with another certificate is let in.
	if err := two.Renew(t.Context(), signer(a, "two")); err != nil {
		t.Fatal(err)
	}
	if _, atServer, atClient = meet(t, Server(one, allow), Client(two, "one", nil)); atServer != nil || atClient != nil {
		t.Errorf("renewed: %v, %v", atServer, atClient)
	}
}

func TestOtherProtocols(t *testing.T) {
	a := newAuthority(t)
	one, two := newIdentity(t, a, "one"), newIdentity(t, a, "two")
	for name, c := range map[string]struct {
		change func(*tls.Config)
		says   string
	}{
		"no certificate": {func(c *tls.Config) { c.GetClientCertificate = nil }, "didn't provide a certificate"},
		"TLS 1.2":        {func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, "unsupported versions"},
		"no ML-KEM":      {func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256} }, "key exchange"},
	} {
		client := Client(two, "one", nil)
		c.change(client)
		_, atServer, atClient := meet(t, Server(one, nil), client)
		if atServer == nil || atClient == nil || !strings.Contains(atServer.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, atServer, atClient)
		}
	}
}

func TestJoin(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	one := newIdentity(t, a, "one")
	token := func(f Fingerprint) Token {
		tok, err := NewToken(f, []string{"127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	good := token(a.Fingerprint())
	s, atServer, atClient := meet(t, JoinServer(one), JoinClient(good))
	if atServer != nil || atClient != nil {
		t.Fatal(atServer, atClient)
	}
	ca, err := AuthorityIn(s, good)
	if err != nil || string(ca) != string(a.Certificate()) {
		t.Errorf("the authority: %v", err)
	}
	mallory := forge(t, other.cert, other.key, Node{a.cluster, "one"}, nil)
	posing := forge(t, other.cert, other.key, Node{a.cluster, "one"}, nil)
	posing.ca = a.cert // shows the right authority, which did not sign
	late := forge(t, a.cert, a.key, Node{a.cluster, "one"}, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
	nobody := forge(t, a.cert, a.key, Node{a.cluster, "one"}, func(c *x509.Certificate) { c.URIs = nil })
	for name, c := range map[string]struct {
		server *tls.Config
		token  Token
		says   string
		is     error
	}{
		"a server of another cluster":      {JoinServer(mallory), good, "", ErrFingerprint},
		"a token of another cluster":       {JoinServer(one), token(other.Fingerprint()), "", ErrFingerprint},
		"the authority without signature":  {JoinServer(posing), good, "unknown authority", nil},
		"expired":                          {JoinServer(late), good, "expired", nil},
		"no node":                          {JoinServer(nobody), good, "", ErrNoIdentity},
		"without the authority":            {func() *tls.Config { c := Server(one, nil); c.ClientAuth = tls.NoClientCert; return c }(), good, "", ErrFingerprint},
		"a server that wants certificates": {Server(one, nil), good, "", ErrFingerprint},
	} {
		_, _, atClient := meet(t, c.server, JoinClient(c.token))
		if atClient == nil || !strings.Contains(atClient.Error(), c.says) || c.is != nil && !errors.Is(atClient, c.is) {
			t.Errorf("%s: %v", name, atClient)
		}
	}
}

func BenchmarkHandshake(b *testing.B) {
	a := newAuthority(b)
	one, two := newIdentity(b, a, "one"), newIdentity(b, a, "two")
	for b.Loop() {
		if _, atServer, atClient := meet(b, Server(one, nil), Client(two, "one", nil)); atServer != nil || atClient != nil {
			b.Fatal(atServer, atClient)
		}
	}
}

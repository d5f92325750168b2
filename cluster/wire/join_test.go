package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

func token(t testing.TB, f *fabric, addresses ...string) pki.Token {
	t.Helper()
	tok, err := pki.NewToken(f.authority.Fingerprint(), addresses)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestJoin(t *testing.T) {
	f, g := newFabric(t), newFabric(t)
	one := f.node(t, "one", Limits{})
	at := one.Addr().String()
	if _, _, err := DialJoin(t.Context(), token(t, f, at)); !errors.Is(err, ErrNoStream) {
		t.Errorf("before it is served: %v", err)
	}
	l := one.Listener(Join)
	other := g.node(t, "other", Limits{})
	other.Listener(Join)
	// The first address is another cluster's, the second nobody's.
	c, authority, err := DialJoin(t.Context(), token(t, f, other.Addr().String(), "127.0.0.1:1", at))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if !bytes.Equal(authority, f.authority.Certificate()) {
		t.Error("another authority")
	}
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	in := raw.(*Conn)
	if in.Stream() != Join || in.Peer().Name != "" {
		t.Errorf("%s, %+v", in.Stream(), in.Peer())
	}
	_, _, err = DialJoin(t.Context(), token(t, g, at))
	if !errors.Is(err, pki.ErrFingerprint) || !strings.Contains(err.Error(), at) {
		t.Errorf("a token of another cluster: %v", err)
	}
	one.Recheck()
	if _, err := in.Write([]byte("x")); err != nil {
		t.Errorf("after a recheck: %v", err)
	}
}

func TestJoinBounds(t *testing.T) {
	f := newFabric(t)
	one, two := f.node(t, "one", Limits{Joins: 2, JoinTime: time.Second}), f.node(t, "two", Limits{})
	echo(t, one, Join)
	echo(t, one, Actors)
	tok := token(t, f, one.Addr().String())
	first, _, err := DialJoin(t.Context(), tok)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := DialJoin(t.Context(), tok)
	if err != nil {
		t.Fatal(err)
	}
	third, _, err := DialJoin(t.Context(), tok)
	if err != nil {
		t.Fatal(err)
	}
	if err := hangsUp(first); err != nil || one.Stats().Evicted != 1 {
		t.Errorf("the oldest of three: %v, %+v", err, one.Stats())
	}
	mustTalk(t, two, "one", Actors)
	if err := errors.Join(talk(third, "hello"), hangsUp(second), hangsUp(third)); err != nil {
		t.Errorf("after their time: %v", err)
	}
	fourth, _, err := DialJoin(t.Context(), tok)
	if err != nil {
		t.Fatalf("after the others' time: %v", err)
	}
	_ = fourth.Close()
}

// Strangers of one address who join again and again have each other go, and nobody of another.
func TestJoinFlood(t *testing.T) {
	f := newFabric(t)
	one := f.node(t, "one", Limits{Joins: 2})
	echo(t, one, Join)
	tok := token(t, f, one.Addr().String())
	first, _, err := DialJoin(t.Context(), tok)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	for range 4 {
		config := pki.JoinClient(tok)
		config.NextProtos = []string{Join.alpn()}
		if err := greet(t.Context(), tls.Client(from(t, "127.0.3.1", one.Addr().String()), config)); err != nil {
			t.Fatal(err)
		}
	}
	if err := talk(first, "hello"); err != nil || one.Stats().Evicted != 3 {
		t.Errorf("who came first: %v, %+v", err, one.Stats())
	}
}

package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/propagation"
	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		config client.Config
		says   string // "": it is taken
	}{
		{"a socket", client.Config{Socket: "/s"}, ""},
		{"https", client.Config{URL: "https://node:8443", Token: "t"}, ""},
		{"an address of each kind", client.Config{Address: "unix:///s"}, ""},
		{"https as an address", client.Config{Address: "https://node:7443/"}, ""},
		{"this machine", client.Config{Address: "http://127.0.0.1:80"}, ""},
		{"this machine by IPv6", client.Config{Address: "http://[::1]:80"}, ""},
		{"another machine, where a token is read on the way", client.Config{Address: "http://node:80"}, "https://HOST"},
		{"a relative socket", client.Config{Address: "unix://s"}, "absolute"},
		{"another scheme", client.Config{Address: "ftp://node"}, "https://HOST"},
		{"no scheme", client.Config{Address: "node:7443"}, "https://HOST"},
		{"a password in the address", client.Config{Address: "https://u:hunter2@node"}, "https://HOST"},
		{"an address and a socket", client.Config{Address: "unix:///s", Socket: "/s"}, "one of them"},
		{"neither", client.Config{}, "one of them"},
		{"both", client.Config{Socket: "/s", URL: "https://node"}, "one of them"},
		{"http, where a token is read on the way", client.Config{URL: "http://node", Token: "t"}, "https://HOST"},
		{"a user in the address", client.Config{URL: "https://u:p@node"}, "https://HOST"},
		{"no address", client.Config{URL: "node"}, "https://HOST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, err := client.New(c.config)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want %q", err, c.says)
			}
			if made != nil {
				made.Close()
			}
		})
	}
}

// Where no node is, calls of each kind say so, and where.
func TestNobodyThere(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	c, err := client.New(client.Config{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Policies.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "p"}))
	if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), socket) {
		t.Errorf("get: %v", err)
	}
	stream, err := c.Policies.Watch(t.Context(), connect.NewRequest(&pb.WatchRequest{}))
	if err == nil {
		stream.Receive()
		err = stream.Err()
	}
	if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), socket) {
		t.Errorf("watch: %v", err)
	}
}

// A call is part of its caller's trace, unless the caller has named another.
func TestTraceIsSent(t *testing.T) {
	const own, other = "00-cccccccccccccccccccccccccccccccc-b7ad6b7169203331-01", "00-dddddddddddddddddddddddddddddddd-b7ad6b7169203331-00"
	seen := make(chan string, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Traceparent")
		w.WriteHeader(http.StatusTeapot)
	}))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := client.New(client.Config{URL: s.URL, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	within := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": own})
	for _, k := range []struct {
		name   string
		ctx    context.Context
		header string
		want   string
	}{{"no trace", t.Context(), "", ""}, {"the context's", within, "", own}, {"a header's", within, other, other}} {
		t.Run(k.name, func(t *testing.T) {
			r := connect.NewRequest(&pb.GetRequest{Name: "p"})
			if k.header != "" {
				r.Header().Set("traceparent", k.header)
			}
			_, _ = c.Policies.Get(k.ctx, r)
			if got := <-seen; got != k.want {
				t.Errorf("a call has %q, want %q", got, k.want)
			}
			stream, err := c.Policies.Watch(k.ctx, connect.NewRequest(&pb.WatchRequest{}))
			if err == nil {
				_ = stream.Receive()
				_ = stream.Close()
			}
			if got, want := <-seen, k.want; k.header == "" && got != want {
				t.Errorf("a stream has %q, want %q", got, want)
			}
		})
	}
}

// A token goes to the node alone: not to where something sends the client on.
func TestTokenIsNotSentOn(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	var seen atomic.Value
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"))
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := client.New(client.Config{URL: s.URL, Token: "secret", RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Policies.List(t.Context(), connect.NewRequest(&pb.ListRequest{})); err == nil {
		t.Error("a redirect is followed")
	}
	if seen.Load() != "Bearer secret" || elsewhere.Load() != 0 {
		t.Errorf("the node saw %v, another %d calls", seen.Load(), elsewhere.Load())
	}
}

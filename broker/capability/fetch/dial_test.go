package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
)

// begun starts a fetch that the returned function withdraws.
func begun(s *captest.Session, url string) (answer chan error, withdraw func()) {
	ctx, withdraw := context.WithCancel(context.Background())
	answer = make(chan error, 1)
	go func() {
		_, err := s.Do(ctx, capability.Request{Capability: Name, Action: "fetch",
			Payload: capability.Value{Type: capability.JSON, Data: []byte(`{"url":` + captest.JSON(url) + `}`)}})
		answer <- err
	}()
	return answer, withdraw
}

// A call that ends has its look-up end, at once, and has not returned before that; another call to the
// same host gets its connection.
func TestDialsEndWithTheirCall(t *testing.T) {
	_, port := serve(t, mirror)
	lookups, ended, goOn := make(chan context.Context, 2), make(chan struct{}), make(chan struct{})
	var before atomic.Int32
	s := open(t, Config{Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		number := before.Add(1)
		lookups <- ctx
		if number == 1 {
			<-ctx.Done()
			close(ended)
			<-goOn
			return nil, ctx.Err()
		}
		<-ended
		return toLoopback(ctx, host)
	}}, `{"hosts":["example.com:`+port+`"],"addresses":["127.0.0.1"]}`)
	defer close(goOn)
	first, withdraw := begun(s, "http://example.com:"+port)
	if until, bound := (<-lookups).Deadline(); !bound || time.Until(until) > dialTimeout {
		t.Errorf("the look-up may last until %v", until)
	}
	second, _ := begun(s, "http://example.com:"+port)
	<-lookups
	withdraw()
	captest.Want(t, <-first, capability.Cancelled)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the look-up goes on")
	}
	if err := <-second; err != nil {
		t.Errorf("another call: %v", err)
	}
	over, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if s.Broker.Close(over) == nil {
		t.Error("the call has returned, and its look-up has not")
	}
}

// So does its handshake.
func TestHandshakesEndWithTheirCall(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := open(t, Config{}, l.Addr().String())
	answer, withdraw := begun(s, "https://"+l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	withdraw()
	captest.Want(t, <-answer, capability.Cancelled)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is kept without a call")
	}
}

// Both protocols are spoken, as before the handshake was the call's.
func TestHTTP2(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
		server.EnableHTTP2 = h2
		server.StartTLS()
		t.Cleanup(server.Close)
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		s := open(t, Config{RootCAs: roots}, "127.0.0.1:"+portOf(server))
		for range 2 {
			if a, err := fetch(s, server.URL, ""); err != nil || text(a) != map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2] {
				t.Errorf("%q %v", text(a), err)
			}
		}
	}
}

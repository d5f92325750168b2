package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddr("127.0.0.1")

// toLoopback resolves every name to this machine.
func toLoopback(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{loopback}, nil }

// serve starts a server and returns it with its port.
func serve(t testing.TB, h http.HandlerFunc) (s *httptest.Server, port string) {
	t.Helper()
	s = httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s, portOf(s)
}

func portOf(s *httptest.Server) string {
	u, _ := url.Parse(s.URL)
	return u.Port()
}

// open grants http.fetch by a JSON object or a word.
func open(t testing.TB, c Config, grant string) *captest.Session {
	t.Helper()
	if c.Lookup == nil {
		c.Lookup = toLoopback
	}
	return captest.Open(t, map[string]capability.Capability{Name: New(c)}, Name+"="+grant)
}

func fetch(s *captest.Session, url, more string) (a Answer, err error) {
	v, err := s.Ask(Name, "fetch", `{"url":`+captest.JSON(url)+more+`}`)
	if err == nil {
		err = json.Unmarshal(v.Data, &a)
	}
	return a, err
}

func text(a Answer) string {
	if a.Text == nil {
		return ""
	}
	return *a.Text
}

// mirror answers with what it was asked.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Answer", "yes")
	_, _ = fmt.Fprintf(w, "%s %s %s %q %v", r.Method, r.Host, r.URL, body, r.Header)
}

func TestFetch(t *testing.T) {
	server, port := serve(t, mirror)
	s := open(t, Config{}, `{"hosts":["127.0.0.1:`+port+`"],"methods":["GET","POST"]}`)
	a, err := fetch(s, server.URL+"/p?q=1#f", `,"headers":{"x-one":"1","X-Two":["2","3"]}`)
	if err != nil || a.Status != 200 || a.URL != "" || a.Headers["X-Answer"][0] != "yes" {
		t.Fatalf("%+v %v", a, err)
	}
	want := "GET 127.0.0.1:" + port + ` /p?q=1 "" map[Accept-Encoding:[gzip] User-Agent:[PyIsolate] X-One:[1] X-Two:[2 3]]`
	if text(a) != want {
		t.Errorf("got  %s\nwant %s", text(a), want)
	}
	a, err = fetch(s, server.URL, `,"method":"POST","text":"hello"`)
	if err != nil || !strings.Contains(text(a), `POST 127.0.0.1:`+port+` / "hello"`) {
		t.Errorf("%+v %v", a, err)
	}
	records := s.Records()
	if got := records[0]; got.Target != "GET http://127.0.0.1:"+port || got.Rule != "http.fetch=127.0.0.1:"+port {
		t.Errorf("record %+v", got)
	}
}

func TestRawBodiesBothWays(t *testing.T) {
	server, port := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	s := open(t, Config{}, `{"hosts":["127.0.0.1:`+port+`"],"methods":["PUT"]}`)
	payload, err := capability.Pack(map[string]any{"url": server.URL, "method": "PUT", "raw": true}, []byte{0, 0xff, 1})
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Do(context.Background(), capability.Request{Capability: Name, Action: "fetch", Payload: payload})
	if err != nil {
		t.Fatal(err)
	}
	header, body, err := capability.Unpack(v)
	var a Answer
	if err != nil || json.Unmarshal(header, &a) != nil || a.Status != 200 || a.Text != nil || !bytes.Equal(body, []byte{0, 0xff, 1}) {
		t.Errorf("%s %v %v", header, body, err)
	}
	a, err = fetch(s, server.URL, `,"method":"PUT","base64":"AP8="`)
	if err != nil || a.Base64 == nil || *a.Base64 != "AP8=" {
		t.Errorf("%+v %v", a, err)
	}
}

func TestWhatIsNotOnTheList(t *testing.T) {
	server, port := serve(t, mirror)
	s := open(t, Config{}, `{"hosts":["127.0.0.1:`+port+`","*.example.com:`+port+`","https://only.tls.org:`+port+`"],"headers":["X-Ok"]}`)
	for _, c := range []struct {
		url, more string
		kind      capability.Kind
		says      string
	}{
		{"http://127.0.0.2:" + port, "", capability.Denied, "hosts"},
		{"http://127.0.0.1:1", "", capability.Denied, "hosts"},
		{"http://localhost:" + port, "", capability.Denied, "hosts"},
		{"http://example.com:" + port, "", capability.Denied, "hosts"},
		{"http://evil-example.com:" + port, "", capability.Denied, "hosts"},
		{"http://only.tls.org:" + port, "", capability.Denied, "hosts"},
		{"http://a.example.com.evil.org:" + port, "", capability.Denied, "hosts"},
		{"http://127.1:" + port, "", capability.Invalid, "number"},
		{"http://0x7f000001:" + port, "", capability.Invalid, "number"},
		{"http://2130706433:" + port, "", capability.Invalid, "number"},
		{"http://127.0.0.1:" + port + "@evil.org/", "", capability.Invalid, "credentials"},
		{"http://user:pw@127.0.0.1:" + port, "", capability.Invalid, "credentials"},
		{"http://127.0.0.1%00.example.com:" + port, "", capability.Invalid, ""},
		{"http://[::1%25lo]:" + port, "", capability.Invalid, "zone"},
		{"ftp://127.0.0.1/", "", capability.Invalid, "scheme"},
		{"file:///etc/passwd", "", capability.Invalid, "scheme"},
		{"//127.0.0.1/", "", capability.Invalid, "scheme"},
		{"http:127.0.0.1", "", capability.Invalid, "host"},
		{"http://" + strings.Repeat("a", 9000), "", capability.Invalid, "8192"},
		{"http://ex\u00e4mple.com", "", capability.Invalid, "xn--"},
		{server.URL, `,"method":"POST"`, capability.Denied, "methods"},
		{server.URL, `,"method":"TRACE"`, capability.Invalid, "method"},
		{server.URL, `,"headers":{"Host":"evil"}`, capability.Denied, "node alone"},
		{server.URL, `,"headers":{"hOsT":"evil"}`, capability.Denied, "node alone"},
		{server.URL, `,"headers":{"Transfer-Encoding":"chunked"}`, capability.Denied, "node alone"},
		{server.URL, `,"headers":{"X-Other":"1"}`, capability.Denied, "grant's headers"},
		{server.URL, `,"headers":{"X-Ok":"1\r\nX: y"}`, capability.Invalid, "control"},
		{server.URL, `,"headers":{"X Ok":"1"}`, capability.Invalid, "not valid"},
		{server.URL, `,"headers":{"x-ok":"1","X-OK":"2"}`, capability.Invalid, "twice"},
		{server.URL, `,"headers":{"X-Ok":"` + strings.Repeat("v", 33<<10) + `"}`, capability.TooLarge, ""},
		{server.URL, `,"text":"a","base64":"YQ=="`, capability.Invalid, "2 times"},
	} {
		_, err := fetch(s, c.url, c.more)
		captest.Want(t, err, c.kind, c.says)
	}
	if _, err := s.Ask(Name, "get", "{}"); capability.KindOf(err) != capability.Invalid {
		t.Error(err)
	}
}

// A name on the list that leads to an inner address, by any spelling of it.
func TestNamesThatResolveInwards(t *testing.T) {
	_, port := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") })
	for _, address := range []string{"127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::127.0.0.1", "0.0.0.0", "::", "fe80::1%lo", "fd00:ec2::254"} {
		s := open(t, Config{Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr(address)}, nil
		}}, "api.example.com:"+port)
		_, err := fetch(s, "http://api.example.com:"+port, "")
		if e := captest.Error(t, err, capability.Denied, "address"); e.Denial == nil {
			t.Errorf("%s: no denial", address)
		}
	}
}

// An address on the list is granted as that host alone, not to names that lead there.
func TestAListedAddressGrantsNoNames(t *testing.T) {
	server, port := serve(t, mirror)
	s := open(t, Config{}, `{"hosts":["127.0.0.1:`+port+`","api.example.com:`+port+`"]}`)
	if _, err := fetch(s, server.URL, ""); err != nil {
		t.Error(err)
	}
	_, err := fetch(s, "http://api.example.com:"+port, "")
	captest.Want(t, err, capability.Denied, "inner addresses")
}

// The resolver says something harmless first and this machine the next time.
func TestRebinding(t *testing.T) {
	reached := false
	_, port := serve(t, func(http.ResponseWriter, *http.Request) { reached = true })
	var asked atomic.Int32
	s := open(t, Config{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		if asked.Add(1) == 1 {
			return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil // granted; nobody listens
		}
		return []netip.Addr{loopback}, nil
	}}, `{"hosts":["api.example.com:`+port+`"],"addresses":["127.0.0.2"]}`)
	_, err := fetch(s, "http://api.example.com:"+port, "")
	captest.Want(t, err, capability.Failed, "refused")
	_, err = fetch(s, "http://api.example.com:"+port, "")
	captest.Want(t, err, capability.Denied, "inner")
	if reached || asked.Load() != 2 {
		t.Errorf("reached %v after %d look-ups", reached, asked.Load())
	}
}

// Of several addresses the refused are passed over, and none is tried in vain twice.
func TestMixedAnswersOfTheResolver(t *testing.T) {
	_, port := serve(t, mirror)
	s := open(t, Config{Lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.1"), loopback}, nil
	}}, `{"hosts":["api.example.com:`+port+`"],"addresses":["127.0.0.0/8"]}`)
	if a, err := fetch(s, "http://api.example.com:"+port, ""); err != nil || a.Status != 200 {
		t.Error(a, err)
	}
	s = open(t, Config{Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "10.9.9.9:53", IsNotFound: true}
	}}, "api.example.com")
	_, err := fetch(s, "http://api.example.com/", "")
	if e := captest.Error(t, err, capability.Failed, "does not resolve"); strings.Contains(e.Message, "10.9.9.9") {
		t.Error("the guest is told about the resolver:", e.Message)
	}
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	proxy, _ := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	_, port := serve(t, mirror)
	s := open(t, Config{}, `{"hosts":["api.example.com:`+port+`"],"addresses":["127.0.0.1"]}`)
	if a, err := fetch(s, "http://api.example.com:"+port, ""); err != nil || a.Status != 200 {
		t.Error(a, err)
	}
}

func TestRedirects(t *testing.T) {
	other, otherPort := serve(t, mirror)
	server, port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		code := 302
		_, _ = fmt.Sscan(r.URL.Query().Get("code"), &code)
		switch r.URL.Path {
		case "/mirror":
			mirror(w, r)
		case "/loop":
			http.Redirect(w, r, "/loop", code)
		default:
			http.Redirect(w, r, r.URL.Query().Get("to"), code)
		}
	})
	grant := `{"hosts":["127.0.0.1:` + port + `","127.0.0.1:` + otherPort + `"],"methods":["GET","POST"],"redirects":3}`
	s := open(t, Config{}, grant)
	to := func(where string, code int) string {
		return fmt.Sprintf("%s/?code=%d&to=%s", server.URL, code, url.QueryEscape(where))
	}
	secret := `,"headers":{"Authorization":"Bearer s3cret","X-Api-Key":"s3cret","Cookie":"s3cret","Accept":"text/plain"}`

	a, err := fetch(s, to("/mirror", 302), secret)
	if err != nil || a.URL != server.URL+"/mirror" || strings.Count(text(a), "s3cret") != 3 {
		t.Errorf("the same origin: %s %v", text(a), err)
	}
	a, err = fetch(s, to(other.URL+"/x", 302), secret)
	if err != nil || strings.Contains(text(a), "s3cret") || !strings.Contains(text(a), "text/plain") {
		t.Errorf("another origin: %s %v", text(a), err)
	}
	a, err = fetch(s, to("/mirror", 303), `,"method":"POST","text":"body","headers":{"Content-Type":"x"}`)
	if err != nil || !strings.HasPrefix(text(a), "GET") || strings.Contains(text(a), "body") || strings.Contains(text(a), "Content-Type") {
		t.Errorf("303: %s %v", text(a), err)
	}
	a, err = fetch(s, to("/mirror", 307), `,"method":"POST","text":"body"`)
	if err != nil || !strings.HasPrefix(text(a), "POST") || !strings.Contains(text(a), `"body"`) {
		t.Errorf("307: %s %v", text(a), err)
	}
	a, err = fetch(s, to("http://evil.org", 302), `,"follow":false`)
	if err != nil || a.Status != 302 || a.Headers["Location"][0] != "http://evil.org" {
		t.Errorf("not followed: %+v %v", a, err)
	}
	for _, c := range []struct {
		url, more string
		kind      capability.Kind
		says      string
	}{
		{to(other.URL, 308), `,"method":"POST","text":"body"`, capability.Denied, "another origin"},
		{to("http://127.0.0.3:"+port, 302), "", capability.Denied, "hosts"},
		{to("http://169.254.169.254/latest", 302), "", capability.Denied, "hosts"},
		{to("file:///etc/passwd", 302), "", capability.Invalid, "scheme"},
		{to("http://a:b@127.0.0.1:"+port, 302), "", capability.Invalid, "credentials"},
		{server.URL + "/loop", "", capability.Failed, "more than 3"},
	} {
		_, err := fetch(s, c.url, c.more)
		captest.Want(t, err, c.kind, c.says)
	}
	none := open(t, Config{}, strings.Replace(grant, `"redirects":3`, `"redirects":0`, 1))
	if a, err := fetch(none, to("/mirror", 302), ""); err != nil || a.Status != 302 {
		t.Errorf("a grant without redirects: %+v %v", a, err)
	}
	getOnly := open(t, Config{}, `{"hosts":["127.0.0.1:`+port+`"],"methods":["POST"]}`)
	_, err = fetch(getOnly, to("/mirror", 303), `,"method":"POST"`)
	captest.Want(t, err, capability.Denied, "methods")
}

func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(mirror))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	port := portOf(server)
	grant := `{"hosts":["example.com:` + port + `","other.org:` + port + `"],"addresses":["127.0.0.1"]}`
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate()) // for example.com and 127.0.0.1
	s := open(t, Config{RootCAs: roots}, grant)
	if a, err := fetch(s, "https://example.com:"+port+"/", ""); err != nil || a.Status != 200 {
		t.Error(a, err)
	}
	_, err := fetch(s, "https://other.org:"+port+"/", "")
	captest.Want(t, err, capability.Failed, "certificate")
	stranger := open(t, Config{RootCAs: x509.NewCertPool()}, grant)
	_, err = fetch(stranger, "https://example.com:"+port+"/", "")
	captest.Want(t, err, capability.Failed, "certificate")
	_, err = fetch(s, "http://example.com:"+port+"/", "")
	if capability.KindOf(err) == capability.Internal {
		t.Error("http to a TLS port:", err)
	}
}

func TestARedirectFromTLSToPlain(t *testing.T) {
	plain, plainPort := serve(t, mirror)
	server := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s := open(t, Config{RootCAs: roots}, `{"hosts":["127.0.0.1:`+plainPort+`","127.0.0.1:`+portOf(server)+`"]}`)
	_, err := fetch(s, server.URL, "")
	captest.Want(t, err, capability.Denied, "https to http")
}

func gzipped(n int) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, _ = io.CopyN(z, zeros{}, int64(n))
	_ = z.Close()
	return buf.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestBodiesAreBounded(t *testing.T) {
	small, bomb := gzipped(1000), gzipped(8<<20)
	server, port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			_, _ = io.Copy(w, zeros{}) // until the client has had enough
		case "/declared":
			w.Header().Set("Content-Length", "99999999999")
			_, _ = w.Write([]byte("x"))
		case "/gzip", "/bomb", "/bad-gzip", "/cut-gzip", "/no-gzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(map[string][]byte{"/gzip": small, "/bomb": bomb, "/bad-gzip": []byte("not gzip at all"), "/cut-gzip": small[:len(small)-4]}[r.URL.Path])
		case "/headers":
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("h", 1024))
			}
		case "/exact":
			_, _ = io.CopyN(w, zeros{}, 100_000)
		}
	})
	s := open(t, Config{}, `{"hosts":["127.0.0.1:`+port+`"],"response_bytes":100000}`)
	for path, want := range map[string]capability.Kind{
		"/endless": capability.TooLarge, "/declared": capability.TooLarge, "/bomb": capability.TooLarge, "/bad-gzip": capability.Failed,
		"/cut-gzip": capability.Failed, "/headers": capability.Failed, "/exact": capability.OK, "/gzip": capability.OK, "/no-gzip": capability.OK,
	} {
		a, err := fetch(s, server.URL+path, "")
		if capability.KindOf(err) != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
		if path == "/gzip" && (len(text(a)) != 1000 || a.Headers["Content-Encoding"] != nil) {
			t.Errorf("gzip: %d bytes, %v", len(text(a)), a.Headers)
		}
	}
	if a, err := fetch(s, server.URL+"/gzip", `,"method":"HEAD"`); err != nil || a.Text != nil {
		t.Error("HEAD:", a, err)
	}
}

// Servers that are slow on purpose: silent before the header, in the body, or
// dripping, which never is silent but never ends either.
func TestSlowServers(t *testing.T) {
	release := make(chan struct{})
	server, port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/silent":
		case "/stalled":
			_, _ = w.Write([]byte("beginning"))
			_ = http.NewResponseController(w).Flush()
		case "/drip":
			for {
				select {
				case <-release:
					return
				case <-r.Context().Done():
					return
				default:
					_, _ = w.Write([]byte("."))
					_ = http.NewResponseController(w).Flush()
				}
			}
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) }) // before the server's own
	s := open(t, Config{}, `{"hosts":["127.0.0.1:`+port+`"],"idle_timeout":"50ms"}`)
	for _, path := range []string{"/silent", "/stalled"} {
		_, err := fetch(s, server.URL+path, "")
		captest.Want(t, err, capability.Timeout, "nothing came")
	}
	s = open(t, Config{}, `{"hosts":["127.0.0.1:`+port+`"],"timeout":"100ms","answer_bytes":"64MiB"}`)
	_, err := fetch(s, server.URL+"/drip", "")
	captest.Want(t, err, capability.Timeout, "deadline")
}

func TestBrokenServers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, answer := range []string{"", "not HTTP\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"} {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	s := open(t, Config{}, l.Addr().String())
	for range 3 {
		_, err := fetch(s, "http://"+l.Addr().String(), "")
		captest.Want(t, err, capability.Failed)
	}
}

// Revoking the grant ends a fetch in the middle.
func TestRevocation(t *testing.T) {
	entered := make(chan struct{})
	server, port := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(entered); <-r.Context().Done() })
	s := open(t, Config{}, "127.0.0.1:"+port)
	done := make(chan error, 1)
	go func() { _, err := fetch(s, server.URL, ""); done <- err }()
	<-entered
	if err := s.Update(capability.Policy{Version: 2}); err != nil {
		t.Fatal(err)
	}
	captest.Want(t, <-done, capability.Denied, "policy version 2")
}

func TestBadGrants(t *testing.T) {
	s := open(t, Config{}, "a.example.com")
	for _, bad := range []string{`{}`, `{"hosts":[]}`, "*", "*.com", "*.*.example.com", "a..b", "-a.com", "ftp://a.com", "a.com:0", "a.com:99999", "a.com:x",
		"a.com/path", "user@a.com", "http://a.com/", "[::1", "[a.com]:80", "*.1.2.3.4", "127.1", "::1", `{"hosts":["a.com"],"methods":["get"]}`,
		`{"hosts":["a.com"],"methods":["CONNECT"]}`, `{"hosts":["a.com"],"addresses":["10.0.0.1/8"]}`, `{"hosts":["a.com"],"addresses":["::ffff:1.2.3.4"]}`,
		`{"hosts":["a.com"],"addresses":["x"]}`, `{"hosts":["a.com"],"redirects":11}`, `{"hosts":["a.com"],"redirects":-1}`, `{"hosts":["a.com"],"headers":["Host"]}`, `{"hosts":["a.com"],"headers":["Content_Length"]}`,
		`{"hosts":["a.com"],"idle_timeout":"0.1ms"}`, `{"hosts":["a.com"],"response_bytes":"1GiB"}`, `{"host":["a.com"]}`} {
		_, err := s.TryAs("t", "c", Name+"="+bad)
		captest.Want(t, err, capability.Invalid, "grant http.fetch")
	}
}

package refresh_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

func TestDialRefuses(t *testing.T) {
	for _, c := range []struct {
		address       string
		inner, tenant bool // it is dialled for whoever may reach inner addresses, for others
	}{
		{"169.254.169.254:80", false, false},
		{"[fe80::1%lo]:443", false, false},
		{"[::ffff:169.254.1.1]:80", false, false},
		{"[fd00:ec2::254]:80", false, false},
		{"[64:ff9b::a9fe:a9fe]:80", false, false},
		{"0.0.0.0:80", false, false},
		{"224.0.0.1:80", false, false},
		{"127.0.0.1:80", true, false},
		{"[::1]:80", true, false},
		{"10.0.0.1:443", true, false},
		{"[fd00::1]:443", true, false},
		{"1.1.1.1:443", true, true},
		{"nonsense", false, false},
	} {
		for inner, want := range map[bool]bool{true: c.inner, false: c.tenant} {
			if err := refresh.Control(inner, c.address); (err == nil) != want || err != nil && !errors.Is(err, refresh.ErrRefused) {
				t.Errorf("%s, inner %t: %v", c.address, inner, err)
			}
		}
	}
}

func TestTenantsStayOutside(t *testing.T) {
	var asked atomic.Int32
	s, o := server(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); _, _ = io.WriteString(w, example) })
	tenant := policystore.Principal{Name: "ann", Role: policystore.PolicyAdmin, Tenant: "acme"}
	named := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	f := refresh.NewFetcher(o)
	defer f.Close()
	if _, err := f.Fetch(t.Context(), refresh.Source{URL: s.URL}, refresh.Validator{}); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{s.URL, named} {
		if _, err := f.Fetch(t.Context(), refresh.Source{URL: url, Principal: tenant}, refresh.Validator{}); !errors.Is(err, refresh.ErrRefused) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
	o.Inner = true
	if _, err := fetch(t, o, refresh.Source{URL: s.URL, Principal: tenant}, refresh.Validator{}); err != nil {
		t.Errorf("although it is permitted: %v", err)
	}
}

func TestProxy(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.String())
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		case "/inside":
			http.Redirect(w, r, "http://10.0.0.1/", http.StatusFound)
		case "/number":
			http.Redirect(w, r, "http://2852039166/", http.StatusFound)
		default:
			_, _ = io.WriteString(w, example)
		}
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(example))
	source := func(url string) refresh.Source {
		return refresh.Source{URL: url, SHA256: sum[:], OtherHosts: true, Principal: policystore.Principal{Tenant: "acme"}}
	}
	o := refresh.Options{Timeout: 10 * time.Second, Attempts: 1}
	if _, err := fetch(t, o, source("http://a.invalid/"), refresh.Validator{}); !errors.Is(err, refresh.ErrUnavailable) || len(asked) != 0 {
		t.Errorf("without a proxy: %v, it was asked for %v", err, asked)
	}
	o.Proxy = address
	for _, c := range []struct {
		url   string
		want  error
		asked int
	}{
		{"http://a.invalid/", nil, 1},
		{"http://a.invalid/away", refresh.ErrRefused, 1},
		{"http://a.invalid/inside", refresh.ErrRefused, 1},
		{"http://a.invalid/number", refresh.ErrRefused, 1},
		{"http://127.0.0.1/", refresh.ErrRefused, 0},
		{"http://0x7f.0x1/", refresh.ErrSource, 0},
	} {
		asked = nil
		if _, err := fetch(t, o, source(c.url), refresh.Validator{}); !errors.Is(err, c.want) || len(asked) != c.asked {
			t.Errorf("%s: %v, the proxy was asked for %v", c.url, err, asked)
		}
	}
}

package refresh_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/policystore/refresh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers https and knows its own certificate.
func server(t testing.TB, h http.HandlerFunc) (*httptest.Server, refresh.Options) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, refresh.Options{RootCAs: roots, Timeout: 30 * time.Second, RetryFirst: time.Millisecond, RetryMost: 20 * time.Millisecond}
}

func fetch(t *testing.T, o refresh.Options, s refresh.Source, have refresh.Validator) (refresh.Fetched, error) {
	t.Helper()
	f := refresh.NewFetcher(o)
	defer f.Close()
	return f.Fetch(context.Background(), s, have)
}

// answers are what servers do, and what becomes of it.
var answers = []struct {
	name  string
	serve http.HandlerFunc
	want  error // nil: the document
	says  string
	tries int32 // 0: any number
}{
	{"gives it", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, example) }, nil, "", 1},
	{"stalls before the header", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		refresh.ErrUnavailable, "no whole answer within ", 3},
	{"stalls in the body", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "version")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, refresh.ErrUnavailable, "no whole answer", 3},
	{"claims more than it sends", hijacked("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nversion"), refresh.ErrUnavailable, "unexpected EOF", 3},
	{"claims too much", hijacked("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), refresh.ErrRefused, "more than 1048576 bytes", 1},
	{"claims a negative length", hijacked("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + example), refresh.ErrUnavailable, "", 3},
	{"sends without end", func(w http.ResponseWriter, _ *http.Request) {
		for chunk := bytes.Repeat([]byte("#\n"), 32<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}, refresh.ErrRefused, "more than 1048576 bytes", 1},
	{"headers without end", hijacked("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 1000) + "\r\n"),
		refresh.ErrUnavailable, "", 3},
	{"garbage for HTTP", hijacked("\x00\x01\x02 what?\r\n\r\n"), refresh.ErrUnavailable, "malformed HTTP", 3},
	{"gzip that was not asked for", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 16<<20))
		_ = z.Close()
	}, refresh.ErrRefused, `content encoding "gzip"`, 1},
	{"304 without a condition", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		refresh.ErrRefused, "we have nothing of it", 1},
	{"206", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusPartialContent) }, refresh.ErrRefused, "206", 1},
	{"403", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, refresh.ErrRefused, "403", 1},
	{"404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, refresh.ErrUnavailable, "404", 1},
	{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, refresh.ErrUnavailable, "503", 3},
	{"429, later", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}, refresh.ErrUnavailable, "429", 1},
	{"redirects to itself", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) },
		refresh.ErrRefused, "more than 3 redirects", 4},
	{"redirects to http", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/", http.StatusFound)
	}, refresh.ErrRefused, "from https to http", 1},
	{"redirects to another host", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://localhost:1/", http.StatusFound)
	}, refresh.ErrRefused, "another host", 1},
	{"redirects to another port", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
	}, refresh.ErrRefused, "another host", 1},
	{"redirects to a file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	}, refresh.ErrRefused, "to file", 1},
	{"redirects with a user", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://me:secret@"+r.Host+"/", http.StatusFound)
	}, refresh.ErrRefused, "user name", 1},
	{"redirects to where it is", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/there" {
			http.Redirect(w, r, "/there", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, example)
	}, nil, "", 2},
}

// hijacked sends bytes as they are and ends the connection.
func hijacked(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.Close()
	}
}

func TestFetchFromServersThatMisbehave(t *testing.T) {
	for _, c := range answers {
		t.Run(c.name, func(t *testing.T) {
			var tries atomic.Int32
			s, o := server(t, func(w http.ResponseWriter, r *http.Request) { tries.Add(1); c.serve(w, r) })
			if strings.Contains(c.says, "no whole answer") { // only who stalls is not to be waited for
				o.Timeout = 300 * time.Millisecond
			}
			got, err := fetch(t, o, refresh.Source{URL: s.URL + "/p.yml"}, refresh.Validator{})
			for o.Timeout < 10*time.Second && tries.Load() < c.tries { // on a busy machine the time may end on the way to the server
				o.Timeout *= 4
				tries.Store(0)
				got, err = fetch(t, o, refresh.Source{URL: s.URL + "/p.yml"}, refresh.Validator{})
			}
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v (%q, %d tries)", err, c.want, got.Text, tries.Load())
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q tells a secret", err)
			}
			if err == nil && string(got.Text) != example {
				t.Errorf("got %q", got.Text)
			}
			if n := tries.Load(); c.tries != 0 && n != c.tries {
				t.Errorf("the server was asked %d times, want %d", n, c.tries)
			}
		})
	}
}

func TestFetchComesBack(t *testing.T) {
	var tries atomic.Int32
	s, o := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if tries.Add(1) < 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, example)
	})
	got, err := fetch(t, o, refresh.Source{URL: s.URL}, refresh.Validator{})
	if err != nil || string(got.Text) != example {
		t.Fatalf("got %q, %v", got.Text, err)
	}
}

func TestFetchFromNobody(t *testing.T) {
	const address = "https://127.0.0.1:1/p.yml"
	_, err := fetch(t, refresh.Options{RetryFirst: time.Millisecond, RetryMost: time.Millisecond}, refresh.Source{URL: address}, refresh.Validator{})
	if !errors.Is(err, refresh.ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
	if strings.Count(err.Error(), address) != 1 {
		t.Errorf("the address is not said once: %v", err)
	}
}

func TestFetchHoldsToTheCertificate(t *testing.T) {
	s, o := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, example) })
	o.RootCAs = x509.NewCertPool()
	if _, err := fetch(t, o, refresh.Source{URL: s.URL}, refresh.Validator{}); !errors.Is(err, refresh.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}

// The budget is of all fetches: a server in trouble is not pressed by many sources.
func TestRetryBudget(t *testing.T) {
	var tries atomic.Int32
	s, o := server(t, func(w http.ResponseWriter, _ *http.Request) {
		tries.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	})
	o.RetryMost = time.Minute
	f := refresh.NewFetcher(o)
	defer f.Close()
	const fetches = 20
	for range fetches {
		if _, err := f.Fetch(context.Background(), refresh.Source{URL: s.URL}, refresh.Validator{}); !errors.Is(err, refresh.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := tries.Load(); n != fetches+10 {
		t.Errorf("%d fetches asked %d times, want ten retries", fetches, n)
	}
}

func TestValidators(t *testing.T) {
	for _, c := range []struct{ name, tag, condition, want string }{
		{"strong", `"1"`, "If-None-Match", `"1"`},
		{"weak", `W/"1"`, "If-None-Match", `W/"1"`},
		{"unquoted is no tag", `1`, "If-None-Match", ""},
		{"too long to keep", `"` + strings.Repeat("a", 300) + `"`, "If-None-Match", ""},
		{"bytes that JSON changes", `"` + strings.Repeat("\xff", 90) + `"`, "If-None-Match", ""},
		{"not ASCII", `"é"`, "If-None-Match", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var condition atomic.Value
			s, o := server(t, func(w http.ResponseWriter, r *http.Request) {
				condition.Store(r.Header.Get(c.condition))
				w.Header()["Etag"] = []string{c.tag}
				if r.Header.Get(c.condition) == c.tag {
					w.WriteHeader(http.StatusNotModified)
					return
				}
				_, _ = io.WriteString(w, example)
			})
			first, err := fetch(t, o, refresh.Source{URL: s.URL}, refresh.Validator{})
			if err != nil || first.Validator.ETag != c.want {
				t.Fatalf("validator %+v, %v; want %q", first.Validator, err, c.want)
			}
			second, err := fetch(t, o, refresh.Source{URL: s.URL}, first.Validator)
			if err != nil || condition.Load() != c.want || second.NotModified != (c.want != "") {
				t.Errorf("second answer %+v, %v, asked with %q", second, err, condition.Load())
			}
		})
	}
}

func TestVerification(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sum, signature := sha256.Sum256([]byte(example)), ed25519.Sign(private, refresh.Signed("web", []byte(example)))
	for _, c := range []struct {
		name      string
		source    refresh.Source
		signature []byte
		want      error
		says      string
	}{
		{"hash", refresh.Source{SHA256: sum[:]}, nil, nil, ""},
		{"another hash", refresh.Source{SHA256: make([]byte, 32)}, nil, refresh.ErrRefused, fmt.Sprintf("has SHA-256 %x", sum)},
		{"signature", refresh.Source{Key: public}, signature, nil, ""},
		{"signature in base64", refresh.Source{Key: public}, []byte(base64.StdEncoding.EncodeToString(signature) + "\n"), nil, ""},
		{"another key", refresh.Source{Key: other}, signature, refresh.ErrRefused, "not signed with the key"},
		{"signature as another policy", refresh.Source{Key: public}, ed25519.Sign(private, refresh.Signed("etl", []byte(example))), refresh.ErrRefused, "as policy web"},
		{"signature of the document alone", refresh.Source{Key: public}, ed25519.Sign(private, []byte(example)), refresh.ErrRefused, "as policy web"},
		{"signature of something else", refresh.Source{Key: public}, ed25519.Sign(private, []byte("x")), refresh.ErrRefused, "not signed"},
		{"no signature there", refresh.Source{Key: public}, nil, refresh.ErrUnavailable, "the signature"},
		{"garbage for a signature", refresh.Source{Key: public}, []byte("<html>"), refresh.ErrRefused, "not an Ed25519 signature"},
		{"endless signature", refresh.Source{Key: public}, bytes.Repeat([]byte("a"), 4096), refresh.ErrRefused, "more than 1024 bytes"},
		{"both, one wrong", refresh.Source{SHA256: make([]byte, 32), Key: public}, signature, refresh.ErrRefused, "SHA-256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, o := server(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/a%2fp.yml" || r.URL.Path == "/a/p.yml":
					_, _ = io.WriteString(w, example)
				case strings.HasSuffix(r.URL.EscapedPath(), "/a%2Fp.yml.sig") && c.signature != nil:
					_, _ = w.Write(c.signature)
				default:
					http.NotFound(w, r)
				}
			})
			c.source.Name, c.source.URL = "web", s.URL+"/a%2Fp.yml?x=1"
			got, err := fetch(t, o, c.source, refresh.Validator{})
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want %v, %q", err, c.want, c.says)
			}
			if err != nil && got.Text != nil {
				t.Error("the document is given although it is not verified")
			}
		})
	}
}

func TestSourceValidate(t *testing.T) {
	key := make([]byte, 32)
	for _, c := range []struct {
		name   string
		source refresh.Source
		says   string // "": it is valid
	}{
		{"https", refresh.Source{URL: "https://example.com/p.yml"}, ""},
		{"http with a key", refresh.Source{URL: "http://example.com/p.yml", Key: key}, ""},
		{"http alone", refresh.Source{URL: "http://example.com/p.yml"}, "anybody on the way"},
		{"file", refresh.Source{URL: "file:///etc/passwd"}, "not an address"},
		{"no host", refresh.Source{URL: "https:///p.yml"}, "not an address"},
		{"garbage", refresh.Source{URL: "https://exa mple.com\n"}, "invalid"},
		{"user", refresh.Source{URL: "https://u:secret@example.com/"}, "user name"},
		{"fragment", refresh.Source{URL: "https://example.com/#a"}, "fragment"},
		{"metadata service", refresh.Source{URL: "https://169.254.169.254/latest"}, "link-local"},
		{"link-local v6", refresh.Source{URL: "https://[fe80::1]/"}, "link-local"},
		{"a number", refresh.Source{URL: "https://2852039166/"}, "is a number"},
		{"short hash", refresh.Source{URL: "https://example.com/", SHA256: key[:31]}, "has 32 bytes"},
		{"short key", refresh.Source{URL: "https://example.com/", Key: key[:31]}, "has 32 bytes"},
		{"too often", refresh.Source{URL: "https://example.com/", Every: time.Second}, "between 5s and 24h"},
		{"too seldom", refresh.Source{URL: "https://example.com/", Every: 48 * time.Hour}, "between 5s and 24h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.source.Validate()
			if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, refresh.ErrSource) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q tells a secret", err)
			}
		})
	}
}

// A name that leads to where clouds hand out credentials is refused when it is dialled, and
// one that leads inside when it is a tenant's.
// Whoever is bound to a tenant has no server of the node's network asked, whatever the host
// is called, unless the node's operator lets him; nor is a connection used again that another
// may have.
// A proxy is asked only if the operator says so, and never for an address that is refused.
// What a server calls its status is not repeated.
func TestStatusIsOurs(t *testing.T) {
	s, o := server(t, hijacked("HTTP/1.1 403 \x1b]0;owned\x07\x1b[2Jok\r\nContent-Length: 0\r\n\r\n"))
	if _, err := fetch(t, o, refresh.Source{URL: s.URL}, refresh.Validator{}); !errors.Is(err, refresh.ErrRefused) || !strings.HasSuffix(err.Error(), "answers 403 Forbidden") {
		t.Errorf("error %q", err)
	}
}

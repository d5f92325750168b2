package console_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask is what the handler answers.
func ask(t testing.TB, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	console.Handler().ServeHTTP(w, r)
	return w
}

// asset is the address of the page's own script.
func asset(t testing.TB) string {
	t.Helper()
	found := regexp.MustCompile(`src="(/console/assets/[^"]+\.js)"`).FindStringSubmatch(ask(t, http.MethodGet, console.Root).Body.String())
	if found == nil {
		t.Fatal("the page has no script: run make console")
	}
	return found[1]
}

func TestHandler(t *testing.T) {
	for _, c := range []struct {
		name, method, path string
		status             int
		kind, caching      string
	}{
		{"page", http.MethodGet, "/console/", 200, "text/html; charset=utf-8", "no-cache"},
		{"page by its name", http.MethodGet, "/console/index.html", 200, "text/html; charset=utf-8", "no-cache"},
		{"head", http.MethodHead, "/console/", 200, "text/html; charset=utf-8", "no-cache"},
		{"script", http.MethodGet, asset(t), 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"licences", http.MethodGet, "/console/licenses.md", 200, "text/plain; charset=utf-8", "no-cache"},
		{"icon", http.MethodGet, "/console/icon.svg", 200, "image/svg+xml", "no-cache"},
		{"without the slash", http.MethodGet, "/console", 308, "text/html; charset=utf-8", ""},
		{"directory", http.MethodGet, "/console/assets/", 404, "text/plain; charset=utf-8", ""},
		{"directory without the slash", http.MethodGet, "/console/assets", 404, "text/plain; charset=utf-8", ""},
		{"packed form", http.MethodGet, asset(t) + ".gz", 404, "text/plain; charset=utf-8", ""},
		{"nothing", http.MethodGet, "/console/nothing", 404, "text/plain; charset=utf-8", ""},
		{"elsewhere", http.MethodGet, "/", 404, "text/plain; charset=utf-8", ""},
		{"upwards", http.MethodGet, "/console/../handler.go", 404, "text/plain; charset=utf-8", ""},
		{"upwards, escaped", http.MethodGet, "/console/%2e%2e/handler.go", 404, "text/plain; charset=utf-8", ""},
		{"post", http.MethodPost, "/console/", 405, "text/plain; charset=utf-8", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ask(t, c.method, c.path)
			if r.Code != c.status || r.Header().Get("Content-Type") != c.kind || r.Header().Get("Cache-Control") != c.caching {
				t.Errorf("%d, %q, %q; want %d, %q, %q", r.Code, r.Header().Get("Content-Type"), r.Header().Get("Cache-Control"), c.status, c.kind, c.caching)
			}
			if policy := r.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("policy %q", policy)
			}
			if r.Header().Get("X-Content-Type-Options") != "nosniff" || r.Header().Get("X-Frame-Options") != "DENY" {
				t.Errorf("headers %v", r.Header())
			}
			if text := r.Body.String(); (text == "") != (c.method == http.MethodHead) {
				t.Errorf("%d bytes", len(text))
			}
		})
	}
}

func TestEncodings(t *testing.T) {
	script := asset(t)
	plain := ask(t, http.MethodGet, script).Body.String()
	for _, c := range []struct{ accepted, want string }{
		{"", ""}, {"gzip", "gzip"}, {"gzip, deflate, br, zstd", "br"}, {"GZIP", "gzip"}, {"br;q=0, gzip;q=0.5", "gzip"},
		{"br;q=0.000", ""}, {"br;q=x, gzip", "gzip"}, {"deflate", ""}, {"*", ""}, {"gzip;q=1.0 ", "gzip"}, {",;,=", ""},
	} {
		t.Run(c.accepted, func(t *testing.T) {
			r := ask(t, http.MethodGet, script, "Accept-Encoding", c.accepted)
			if got := r.Header().Get("Content-Encoding"); got != c.want {
				t.Fatalf("%q, want %q", got, c.want)
			}
			if r.Header().Get("Vary") != "Accept-Encoding" {
				t.Error("a cache is not told that encodings differ")
			}
			switch text := r.Body.String(); c.want {
			case "":
				if text != plain {
					t.Error("another text")
				}
			case "gzip":
				if unpack(t, text) != plain {
					t.Error("another text when it is unpacked")
				}
			default:
				if len(text) >= len(plain)/2 {
					t.Errorf("%d bytes of %d", len(text), len(plain))
				}
			}
		})
	}
}

func unpack(t testing.TB, text string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestConditions(t *testing.T) {
	first := ask(t, http.MethodGet, console.Root, "Accept-Encoding", "gzip")
	tag := first.Header().Get("ETag")
	if tag == "" || tag == ask(t, http.MethodGet, console.Root).Header().Get("ETag") {
		t.Fatalf("tag %q: each form has its own", tag)
	}
	for _, c := range []struct {
		name, accepted, tag string
		status              int
	}{
		{"the same", "gzip", tag, http.StatusNotModified},
		{"among others", "gzip", `"x", ` + tag, http.StatusNotModified},
		{"in another form", "br", tag, http.StatusOK},
		{"another", "gzip", `"x"`, http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ask(t, http.MethodGet, console.Root, "Accept-Encoding", c.accepted, "If-None-Match", c.tag)
			if r.Code != c.status {
				t.Errorf("%d, want %d", r.Code, c.status)
			}
		})
	}
}

// TestPage holds the page to its policy: nothing in its text is script or style, and all
// that it names is there.
func TestPage(t *testing.T) {
	page := ask(t, http.MethodGet, console.Root).Body.String()
	for _, forbidden := range []string{"<style", "style=", "javascript:", "onload=", "http://", "https://"} {
		if strings.Contains(page, forbidden) {
			t.Errorf("the page has %q", forbidden)
		}
	}
	if inline := regexp.MustCompile(`<script[^>]*>[^<]`).FindString(page); inline != "" {
		t.Errorf("the page has script in its text: %s", inline)
	}
	for _, name := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if r := ask(t, http.MethodGet, name[1]); r.Code != http.StatusOK {
			t.Errorf("%s: %d", name[1], r.Code)
		}
	}
}

// FuzzEncodings: whatever a client accepts, it gets a form that it named.
func FuzzEncodings(f *testing.F) {
	for _, accepted := range []string{"", "gzip", "br;q=0.1,gzip", ";;q=,", "br;q=1e999", "gzip;q=NaN"} {
		f.Add(accepted)
	}
	script := asset(f)
	f.Fuzz(func(t *testing.T, accepted string) {
		r := ask(t, http.MethodGet, script, "Accept-Encoding", accepted)
		got := r.Header().Get("Content-Encoding")
		if r.Code != http.StatusOK || got != "" && !strings.Contains(strings.ToLower(accepted), got) {
			t.Errorf("%d, %q for %q", r.Code, got, accepted)
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	for _, target := range []string{console.Root, asset(b)} {
		b.Run(path.Base(target), func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			r.Header.Set("Accept-Encoding", "gzip, br")
			handler := console.Handler()
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

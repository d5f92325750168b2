package console

import (
	"net/http"
	"path"
	"strings"
)

// Root is where the console is: paths of a handler begin with it.
const Root = "/console/"

// policy of the pages: nothing but this server's own files and calls, no script or style
// in the text of a page, no frames around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// headers of every answer.
var headers = map[string]string{
	"Content-Security-Policy":      policy,
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
}

// Caching: what has its content's hash in its name never changes; the rest is asked for.
const (
	forever    = "public, max-age=31536000, immutable"
	revalidate = "no-cache"
)

// Handler serves the console below [Root], and leads there from the same path without the
// slash at its end. Other paths, and those of directories, are not found. It answers GET and
// HEAD.
func Handler() http.Handler { return embedded() }

// files by path below Root.
type files map[string]*file

// ServeHTTP implements http.Handler.
func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, below := strings.CutPrefix(r.URL.Path, Root)
	switch {
	case r.URL.Path+"/" == Root:
		http.Redirect(w, r, Root, http.StatusPermanentRedirect)
		return
	case below && name == "":
		name = index
	}
	one, ok := f[name]
	if !below || !ok {
		http.Error(w, "there is no such page; the console is at "+Root, http.StatusNotFound)
		return
	}
	one.serve(w, r)
}

// cachingOf a file: the build puts what it names by content into one directory.
func cachingOf(name string) string {
	if path.Dir(name) == "assets" {
		return forever
	}
	return revalidate
}

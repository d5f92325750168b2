package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed dist
var dist embed.FS

// index is the only page: the rest is behind its address's #.
const index = "index.html"

// types of what there is; another extension is a fault of the build, and TestDist says so.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".md":   "text/plain; charset=utf-8", // licences
}

// encodings that files are kept in beside their plain form, the smallest first.
var encodings = []struct{ name, extension string }{{"br", ".br"}, {"gzip", ".gz"}}

// file is one that is served, in each form that it is kept in: "" is the plain one.
type file struct {
	name, kind, caching, tag string
	forms                    map[string][]byte
}

// embedded is what the binary carries, read once: an embedded file is never missing.
var embedded = sync.OnceValue(func() files {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is valid
	}
	all, err := load(root)
	if err != nil {
		panic(err) // reading from memory does not fail
	}
	return all
})

// load reads the files below root, and their packed forms.
func load(root fs.FS) (files, error) {
	all := files{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || types[path.Ext(name)] == "" {
			return err
		}
		one := &file{name: name, kind: types[path.Ext(name)], caching: cachingOf(name), forms: map[string][]byte{}}
		if one.forms[""], err = fs.ReadFile(root, name); err != nil {
			return err
		}
		sum := sha256.Sum256(one.forms[""])
		one.tag = hex.EncodeToString(sum[:16])
		for _, e := range encodings {
			if packed, err := fs.ReadFile(root, name+e.extension); err == nil {
				one.forms[e.name] = packed
			}
		}
		all[name] = one
		return nil
	})
	return all, err
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", f.caching)
	h.Set("Vary", "Accept-Encoding")
	encoding := f.encodingFor(r.Header.Get("Accept-Encoding"))
	tag := f.tag
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
		tag += "-" + encoding
	}
	h.Set("ETag", strconv.Quote(tag))
	// It answers conditions and ranges; there is no time, for builds have none.
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.forms[encoding]))
}

// encodingFor is the first that the file has and the client takes, "" for the plain form.
// A client that weighs them takes them all, but what it gives the weight 0.
func (f *file) encodingFor(accepted string) string {
	takes := map[string]bool{}
	for one := range strings.SplitSeq(accepted, ",") {
		name, parameters, _ := strings.Cut(one, ";")
		weight, weighed := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
		number, err := strconv.ParseFloat(weight, 64)
		takes[strings.ToLower(strings.TrimSpace(name))] = !weighed || err == nil && number > 0
	}
	for _, e := range encodings {
		if f.forms[e.name] != nil && takes[e.name] {
			return e.name
		}
	}
	return ""
}

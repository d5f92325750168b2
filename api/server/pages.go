package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/policystore"
)

// Page is what a server answers beside the API's own calls: a console, metrics, health.
type Page struct {
	Handler http.Handler
	// Role is the least that may ask for it; 0: anybody, without a token.
	Role policystore.Role
	// Everywhere: not for principals that are bound to a tenant, for it is about all.
	Everywhere bool
	// Local: only for this node's own user and root, on a unix socket.
	Local bool
	// Long: it has a slot of its own kind and no deadline, as a stream or a profile.
	// Otherwise it has 10 s.
	Long bool
}

// rule is a page's, in the words of calls.
func (p Page) rule() rule {
	r := rule{role: p.Role, everywhere: p.Everywhere, local: p.Local, long: p.Long, open: p.Role == 0 && !p.Local}
	if !p.Long {
		r.within = shortCall
	}
	return r
}

// page is the one that a path belongs to: the longest that is it, or that ends with a slash
// and begins it.
func (g *gate) page(path string) (p Page, known bool) {
	if p, known = g.pages[path]; known {
		return p, true
	}
	for end := strings.LastIndexByte(path, '/'); end >= 0; end = strings.LastIndexByte(path[:end], '/') {
		if p, known = g.pages[path[:end+1]]; known {
			return p, true
		}
	}
	return Page{}, false
}

// validPages refuses those that could not be reached, or would be in the way of calls.
func validPages(pages map[string]Page) error {
	for path, p := range pages {
		switch {
		case !strings.HasPrefix(path, "/"), path == "/", p.Handler == nil:
			return fmt.Errorf("api: page %q: give a path below / and a handler", path)
		case strings.HasPrefix(path, "/pyisolate.v1."), strings.HasPrefix(path, "/grpc."), slices.Contains(ownPages, path):
			return fmt.Errorf("api: page %q: the path is the API's own", path)
		}
	}
	return nil
}

type principalKey struct{}

// principalOf is who calls. The gate has put it there.
func principalOf(ctx context.Context) policystore.Principal {
	p, _ := ctx.Value(principalKey{}).(policystore.Principal)
	return p
}

package fetch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// reserved are the request headers that are the node's: those of the connection,
// the one that names the host, and those of compression.
var reserved = []string{"Host", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect", "Accept-Encoding", "Http2-Settings"}

// forwarding are headers by which servers behind a proxy learn who asks: a guest
// may not claim to be somebody else unless the grant names them.
var forwarding = []string{"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Client-Ip", "True-Client-Ip",
	"Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Envoy-External-Address", "X-Original-Url", "X-Rewrite-Url", "X-Original-Host",
	"X-Original-Forwarded-For", "X-Http-Method-Override", "X-Method-Override", "X-Http-Method", "Remote-User", "X-Authenticated-User"}

// forwardingPrefixes are of families of such headers, which proxies extend as they like.
var forwardingPrefixes = []string{"X-Forwarded-", "X-Remote-", "X-Auth-Request-"}

func isForwarding(key string) bool {
	return slices.Contains(forwarding, key) || slices.ContainsFunc(forwardingPrefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

// asRead is the name of a header as a server may read it that tells names apart by letters and
// digits alone: CGI, and so WSGI, makes one variable of X_Real_Ip and X-Real-Ip.
func asRead(name string) string {
	return http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
}

// crossing are the headers that stay when a redirect leads to another origin.
// Anything else could be a credential.
var crossing = []string{"Accept", "Accept-Language", "User-Agent"}

// hopByHop are response headers about the connection, which the guest does not have.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc"}

// Bounds of what a guest sends.
const (
	maxHeaders      = 64
	maxRequestBytes = 32 << 10
)

// values is a header's value: a string, or several.
type values []string

func (v *values) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*v = make(values, 1)
		return json.Unmarshal(data, &(*v)[0])
	}
	return json.Unmarshal(data, (*[]string)(v))
}

// requestHeader checks what the guest wants to send.
func (s *scope) requestHeader(given map[string]values) (http.Header, error) {
	h := http.Header{}
	size := 0
	for name, vs := range given {
		key, read := http.CanonicalHeaderKey(name), asRead(name)
		switch {
		case !isToken(name):
			return nil, capability.Errorf(capability.Invalid, "header name %.64q is not valid", name)
		case slices.Contains(reserved, read):
			return nil, capability.Denyf(Name+": headers", "header %s is set by the node alone", key)
		case s.headers != nil && !slices.Contains(s.headers, key),
			s.headers == nil && isForwarding(read):
			return nil, capability.Denyf(Name+": headers", "header %s is not one of the grant's headers", key)
		case h[key] != nil:
			return nil, capability.Errorf(capability.Invalid, "header %s is there twice: give it a list of values", key)
		}
		for _, v := range vs {
			if strings.ContainsFunc(v, isControl) {
				return nil, capability.Errorf(capability.Invalid, "the value of header %s has control characters", key)
			}
			size += len(key) + len(v) + 4
			h[key] = append(h[key], v)
		}
	}
	if len(h) > maxHeaders || size > maxRequestBytes {
		return nil, capability.Errorf(capability.TooLarge, "%d headers with %d bytes: at most %d with %d", len(h), size, maxHeaders, maxRequestBytes)
	}
	if h["User-Agent"] == nil {
		h.Set("User-Agent", "PyIsolate")
	}
	h.Set("Accept-Encoding", "gzip")
	return h, nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// isToken is RFC 9110's token.
func isToken(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return true
}

// crossOrigin removes what the next host must not see.
func crossOrigin(h http.Header) {
	for name := range h {
		if !slices.Contains(crossing, name) && name != "Accept-Encoding" {
			delete(h, name)
		}
	}
}

// withoutBody removes the headers that describe a body which is not sent on.
func withoutBody(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Content-") {
			delete(h, name)
		}
	}
}

// responseHeader is what the guest sees.
func responseHeader(h http.Header) map[string][]string {
	out := map[string][]string{}
	for name, vs := range h {
		if !slices.Contains(hopByHop, name) {
			out[name] = vs
		}
	}
	return out
}

package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Name of the capability.
const Name = "http.fetch"

// Config of the capability. The zero value is what production uses.
type Config struct {
	// RootCAs that certificates are verified against; nil is the system's.
	RootCAs *x509.CertPool
	// Lookup resolves a host name; nil is the system's resolver. Its answers
	// are judged like any other.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Fetch is http.fetch, with the one action "fetch".
type Fetch struct{ config Config }

var _ capability.Scoper = (*Fetch)(nil)

// New returns the capability.
func New(c Config) *Fetch {
	if c.Lookup == nil {
		c.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return &Fetch{c}
}

// Scope reads a grant.
func (f *Fetch) Scope(_ capability.Identity, raw json.RawMessage) (any, error) {
	s, err := newScope(f.config, raw)
	if err != nil {
		return nil, err
	}
	return s, nil
}

type args struct {
	URL     string            `json:"url"`
	Method  string            `json:"method"`
	Headers map[string]values `json:"headers"`
	// Follow redirects; by default as the grant allows.
	Follow *bool `json:"follow"`
	// Raw asks for a packed answer: the body as bytes behind the JSON.
	Raw bool `json:"raw"`
	capability.Content
}

// Answer is what the guest gets.
type Answer struct {
	Status int `json:"status"`
	// URL of the answer, when redirects led to another than was asked for.
	URL     string              `json:"url,omitempty"`
	Headers map[string][]string `json:"headers"`
	capability.Content
}

// exchange is one call: the request, changed by each redirect.
type exchange struct {
	*scope
	call   *capability.Call
	method string
	url    *url.URL
	to     target
	header http.Header
	body   []byte
}

// Do fetches.
func (f *Fetch) Do(ctx context.Context, c *capability.Call) (capability.Value, error) {
	if c.Action != "fetch" {
		return capability.Value{}, c.UnknownAction("fetch")
	}
	a := args{Method: "GET"}
	body, err := c.Arguments(&a)
	if err != nil {
		return capability.Value{}, err
	}
	x := &exchange{scope: c.Scope.(*scope), call: c, method: a.Method}
	if x.body, _, err = a.Bytes(body); err != nil {
		return capability.Value{}, err
	}
	if x.url, x.to, err = parseURL(a.URL); err != nil {
		return capability.Value{}, err
	}
	if !slices.Contains(knownMethods, a.Method) {
		return capability.Value{}, capability.Errorf(capability.Invalid, "method %.32q is not known", a.Method)
	}
	if x.header, err = x.requestHeader(a.Headers); err != nil {
		return capability.Value{}, err
	}
	redirects := x.redirects
	if a.Follow != nil && !*a.Follow {
		redirects = 0
	}
	return x.fetch(ctx, redirects, a.Raw)
}

func (x *exchange) fetch(ctx context.Context, redirects int, raw bool) (capability.Value, error) {
	ctx, end := dialing(ctx)
	defer end()
	first := x.url
	for hop := 0; ; hop++ {
		// Neither path nor query: either may hold a token.
		x.call.SetTarget(x.method + " " + x.to.String())
		rule, err := x.allow(x.method, x.to)
		if err != nil {
			return capability.Value{}, err
		}
		x.call.SetRule(rule)
		answer, body, next, err := x.once(ctx, redirects > 0)
		if err != nil {
			return capability.Value{}, err
		}
		if next == nil {
			if x.url != first {
				answer.URL = x.url.String()
			}
			return x.answer(answer, body, raw)
		}
		if hop == redirects {
			return capability.Value{}, capability.Errorf(capability.Failed, "more than %d redirects", redirects)
		}
		if err := x.redirect(answer.Status, next); err != nil {
			return capability.Value{}, err
		}
	}
}

// once makes one request. next is where a redirect leads, if one is to be followed;
// its body is not read.
func (x *exchange) once(ctx context.Context, follow bool) (answer Answer, body []byte, next *url.URL, err error) {
	ctx, watch := newWatch(ctx, x.idle)
	defer watch.stop()
	req := (&http.Request{Method: x.method, URL: x.url, Host: x.to.authority(), Header: x.header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if len(x.body) > 0 {
		req.ContentLength = int64(len(x.body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.body)), nil }
		req.Body, _ = req.GetBody()
	}
	resp, err := x.transport.RoundTrip(req)
	if err != nil {
		return answer, nil, nil, x.explain(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer.Status = resp.StatusCode
	if follow && isRedirect(resp) {
		if next, err = x.url.Parse(resp.Header.Get("Location")); err != nil {
			return answer, nil, nil, capability.Errorf(capability.Failed, "%s redirects to what is no URL", x.to)
		}
		return answer, nil, next, nil
	}
	if body, err = x.read(resp, watch); err != nil {
		return answer, nil, nil, x.explain(ctx, err)
	}
	answer.Headers = responseHeader(resp.Header) // without what decompression has made untrue
	return answer, body, nil, nil
}

func isRedirect(r *http.Response) bool {
	return slices.Contains([]int{301, 302, 303, 307, 308}, r.StatusCode) && r.Header.Get("Location") != ""
}

// redirect turns the exchange to the next URL, which is judged like the first.
func (x *exchange) redirect(status int, next *url.URL) error {
	to, err := parseTarget(next)
	if err != nil {
		return err
	}
	keeps := status == 307 || status == 308
	idempotent := x.method == "GET" || x.method == "HEAD"
	switch {
	case x.to.scheme == "https" && to.scheme == "http":
		return capability.Denyf(Name+": redirects", "%s redirects from https to http", x.to)
	case keeps && !idempotent && to != x.to:
		return capability.Denyf(Name+": redirects", "%s redirects a %s to another origin, %s", x.to, x.method, to)
	case !keeps && !idempotent:
		x.method, x.body = "GET", nil
		withoutBody(x.header)
	}
	if to != x.to {
		x.body = nil
		crossOrigin(x.header)
	}
	next.Fragment, next.RawFragment = "", ""
	next.Host = to.authority()
	x.url, x.to = next, to
	return nil
}

func (x *exchange) answer(a Answer, body []byte, raw bool) (capability.Value, error) {
	if raw {
		return capability.Pack(a, body)
	}
	if len(body) > 0 {
		a.Content = capability.ContentOf(body)
	}
	return capability.JSONValue(a)
}

// explain turns an error of the transport into the guest's. It names the host and
// not the addresses it resolved to.
func (x *exchange) explain(ctx context.Context, err error) error {
	var e *capability.Error
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var errno syscall.Errno
	fail := func(format string, args ...any) error {
		return capability.Errorf(capability.Failed, format, args...).WithCause(err)
	}
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(context.Cause(ctx), errIdle):
		return capability.Errorf(capability.Timeout, "nothing came from %s for %s", x.to, x.idle)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &dns):
		return fail("host %s does not resolve", x.to.host)
	case errors.As(err, &cert):
		return fail("the certificate of %s is not valid: %s", x.to, cert.Err)
	case errors.As(err, &errno):
		return fail("connection to %s: %s", x.to, errno)
	}
	return fail("%s did not answer as HTTP requires, or broke off", x.to)
}
